"""How well the review's checks tell good captions from bad ones, and what they cost.

    python benchmarks/review_checks.py [--half held_out] [--misses] [--json]

Precision and recall of each flag on the labelled set of `review_set.py`, milliseconds a caption with and without
language identification, and near-duplicates. Times are CPU time, so that a busy machine does not count. The last line
is one JSON object.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import click
from review_set import HALVES, Builder, Example, duplicate_corpus
from side_by_side import peak_mb

from recap.review import FLAGS, Context, ReviewSettings, identify_language, near_duplicates, review

CLASSES = ("empty", *FLAGS, "near_duplicate")


@click.command()
@click.option("--half", type=click.Choice(HALVES), default="held_out")
@click.option("--misses", is_flag=True, help="Print every caption that was judged wrongly.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON object only.")
def main(half: str, misses: bool, as_json: bool) -> None:
    loading = loading_cost()
    examples = Builder(half).examples()
    table = accuracy(examples) | {"near_duplicate": duplicates(half)}
    if misses:
        print_misses(examples)
    if not as_json:
        for name in CLASSES:
            click.echo(
                "{:16} {positives:5} positives  precision {precision:.3f}  recall {recall:.3f}".format(
                    name, **table[name]
                )
            )
    click.echo(json.dumps({"half": half, "examples": len(examples), "flags": table, **cost(examples), **loading}))


def judged(example: Example) -> frozenset[str]:
    """The flags that review gives it."""
    context = Context(instruction=example.instruction, system=example.system)
    return frozenset(review(example.caption, context).flags)


def accuracy(examples: Iterable[Example]) -> dict[str, dict[str, float]]:
    """Precision and recall of each flag over the examples in which it is settled."""
    verdicts = [(example, judged(example)) for example in examples]
    table = {}
    for name in ("empty", *FLAGS):
        settled = [(name in example.flags, name in found) for example, found in verdicts if name not in example.may]
        table[name] = _figures(settled)
    return table


def duplicates(half: str) -> dict[str, float]:
    """The same for near-duplicates, over a corpus in which one caption comes 4,000 times."""
    texts, truth = duplicate_corpus(half)
    found = near_duplicates(texts, ReviewSettings().duplicate_similarity, len(texts)) >= 0
    return _figures(list(zip(truth, found.tolist(), strict=True)))


def _figures(settled: list[tuple[bool, bool]]) -> dict[str, float]:
    right = settled.count((True, True))
    flagged, positives = right + settled.count((False, True)), right + settled.count((True, False))
    return {"positives": positives, "precision": _ratio(right, flagged), "recall": _ratio(right, positives)}


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 1.0


def print_misses(examples: Iterable[Example]) -> None:
    """Each wrongly judged caption: flags missing (-) and too many (+)."""
    for example in examples:
        found = judged(example)
        wrong = [f"-{name}" for name in sorted(example.flags - found)]
        wrong += [f"+{name}" for name in sorted(found - example.flags - example.may)]
        if wrong:
            click.echo(f"{' '.join(wrong)} | {example.caption.finish_reason} | {example.caption.text!r}")


def loading_cost() -> dict[str, float]:
    """What the language identifier takes when it is first used."""
    before, seconds = peak_mb(), _seconds(lambda: identify_language("a first text"))
    return {"identifier_load_s": round(seconds, 2), "identifier_load_mb": round(peak_mb() - before)}


def cost(examples: list[Example]) -> dict[str, float]:
    """CPU milliseconds a caption."""
    plain = Context(identify=lambda text: {"en": 1.0})
    texts = [example.caption.text for example in examples] * 5
    return {
        "review_ms": _milliseconds(examples, lambda example: review(example.caption, plain)),
        "identify_ms": _milliseconds(examples, lambda example: identify_language(example.caption.text)),
        "near_duplicates_ms": round(_seconds(lambda: near_duplicates(texts, 0.8, len(texts))) / len(texts) * 1000, 4),
    }


def _milliseconds(examples: list[Example], act: Callable[[Example], object]) -> float:
    fresh = [replace(example) for example in examples * 2]
    return round(_seconds(lambda: [act(example) for example in fresh]) / len(fresh) * 1000, 4)


def _seconds(act: Callable[[], object]) -> float:
    started = time.process_time()
    act()
    return time.process_time() - started


if __name__ == "__main__":
    main()
