"""Near-duplicates among many captions: recap's MinHash against the datasketch library, each in a process of its own.

    python benchmarks/near_duplicates.py [--captions 100000] [--json]

One caption in ten is an earlier one with one word changed; one comes 4,000 times. Wants `datasketch` installed,
else only recap's figures are printed.
"""

from __future__ import annotations

import json
import random
import time

import click
from resident import PeakMemory, anonymous_bytes
from review_set import HALVES, read_patterns
from side_by_side import measure_each

from recap.delivery import SIGNATURES
from recap.review import near_duplicates
from recap.review.draft import words

ENGINES = ("recap", "datasketch")
SIMILARITY = 0.8


@click.command()
@click.option("--captions", default=100_000)
@click.option("--engine", type=click.Choice(ENGINES), help="Measure this one alone, in this process.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON object only.")
def main(captions: int, engine: str | None, as_json: bool) -> None:
    if engine:
        click.echo(json.dumps(measure(engine, captions)))
    else:
        measure_each(__file__, "--engine", ENGINES, ("--captions", captions), as_json)


def measure(engine: str, count: int) -> dict[str, float]:
    """CPU seconds, peak memory above the captions themselves, and how many of the planted duplicates were found."""
    texts, truth = make_captions(count)
    memory, started = anonymous_bytes(), time.process_time()
    with PeakMemory() as peak:
        found = by_recap(texts) if engine == "recap" else by_datasketch(texts)
    seconds = time.process_time() - started
    hits = sum(a and b for a, b in zip(found, truth, strict=True))
    return {
        "captions": count,
        "cpu_seconds": round(seconds, 1),
        "memory_mb": round((peak.bytes - memory) / 2**20),
        "recall": round(hits / sum(truth), 4),
        "precision": round(hits / max(1, sum(found)), 4),
    }


def make_captions(count: int) -> tuple[list[str], list[bool]]:
    """Word salad in the lengths of real captions, so that only what is planted is alike."""
    draw = random.Random(3)
    vocabulary = sorted({word for half in HALVES for text in read_patterns(half)["dense"] for word in words(text)})
    texts, truth = [], []
    for number in range(count):
        kind = draw.random()
        if number and kind < 0.1:
            tokens = draw.choice(texts).split(" ")
            tokens[draw.randrange(len(tokens))] = draw.choice(vocabulary)
            text = " ".join(tokens)
        elif number and kind < 0.1 + 4000 / count:
            text = texts[0]
        else:
            text = " ".join(draw.choices(vocabulary, k=draw.randrange(40, 90)))
        truth.append(text == texts[0] if texts and kind >= 0.1 else bool(number) and kind < 0.1)
        texts.append(text)
    return texts, truth


def by_recap(texts: list[str]) -> list[bool]:
    """As a run asks it, with a temporary file."""
    return list(near_duplicates(texts, SIMILARITY, len(texts), SIGNATURES) >= 0)


def by_datasketch(texts: list[str]) -> list[bool]:
    """The same question with MinHash and MinHashLSH, sixty-four permutations."""
    from datasketch import MinHash, MinHashLSH

    index, found = MinHashLSH(threshold=SIMILARITY, num_perm=64), []
    for number, text in enumerate(texts):
        tokens = words(text)
        pieces = [" ".join(tokens[place : place + 3]).encode() for place in range(len(tokens) - 2)]
        sketch = MinHash(num_perm=64)
        sketch.update_batch(pieces)
        found.append(bool(index.query(sketch)))
        if not found[-1]:
            index.insert(number, sketch)
    return found


if __name__ == "__main__":
    main()
