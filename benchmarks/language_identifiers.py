"""Which offline language identifier suits captions: accuracy, memory, and CPU time; each in a process of its own.

    python benchmarks/language_identifiers.py [--half tune] [--json]

Over the labelled set's clean captions, whole and sentence by sentence, and its captions in other languages.
Wants `py3langid` and `lingua-language-detector` installed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import click
from review_set import HALVES, read_patterns
from side_by_side import measure_each, peak_mb

from recap.review.draft import sentences

IDENTIFIERS = ("py3langid", "lingua", "lingua_low_accuracy")
Classify = Callable[[str], str]


@click.command()
@click.option("--half", type=click.Choice(HALVES), default="tune")
@click.option("--identifier", type=click.Choice(IDENTIFIERS), help="Measure this one alone, in this process.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON object only.")
def main(half: str, identifier: str | None, as_json: bool) -> None:
    if identifier:
        click.echo(json.dumps(measure(identifier, half)))
    else:
        measure_each(__file__, "--identifier", IDENTIFIERS, ("--half", half), as_json)


def measure(name: str, half: str) -> dict[str, float]:
    """Accuracy on each kind of text, and what it costs."""
    patterns = read_patterns(half)
    english = patterns["dense"] + patterns["medium"] + patterns["short"]
    foreign = [text.split(" || ")[1] for text in patterns["wrong_language"] if text.startswith("en")]
    memory, started = peak_mb(), time.process_time()
    classify = load(name)
    classify("a first text")
    loading = time.process_time() - started
    parts = [part for text in english for part in sentences(text)]
    return {
        "load_cpu_s": round(loading, 2),
        "english_captions": _share(classify, english, "en"),
        "english_sentences": _share(classify, parts, "en"),
        "foreign_as_english": _share(classify, foreign, "en"),
        "ms_per_caption": _milliseconds(classify, english + foreign),
        "memory_mb": round(peak_mb() - memory),
    }


def load(name: str) -> Classify:
    """From a text to its two-letter code."""
    if name == "py3langid":
        from recap.review import identify_language

        return lambda text: next(iter(identify_language(text)))
    from lingua import LanguageDetectorBuilder

    builder = LanguageDetectorBuilder.from_all_languages()
    detector = (builder.with_low_accuracy_mode() if "low" in name else builder).build()

    def classify(text: str) -> str:
        language = detector.detect_language_of(text)
        return language.iso_code_639_1.name.lower() if language else ""

    return classify


def _share(classify: Classify, texts: list[str], code: str) -> float:
    return round(sum(classify(text) == code for text in texts) / len(texts), 4)


def _milliseconds(classify: Classify, texts: list[str]) -> float:
    started = time.process_time()
    for text in texts * 3:
        classify(text)
    return round((time.process_time() - started) / len(texts) / 3 * 1000, 3)


if __name__ == "__main__":
    main()
