"""How right captions of the pocket world are: attribute by attribute, and word for word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from recap.pocket.facts import Facts
from recap.pocket.grammar import chinese, english, parse_chinese, parse_english

ATTRIBUTES = ("shape", "colour", "size", "motion", "background", "whole")
_LANGUAGES = {"en": (english, parse_english), "zh": (chinese, parse_chinese)}


@dataclass(frozen=True)
class Score:
    """The share of each of `ATTRIBUTES` that is right, and over how many captions.

    Things are compared in order; one that is not mentioned has all its attributes wrong. `background` is its
    shade and pattern together, `whole` the caption word for word.
    """

    captions: int
    right: dict[str, float]


def score(pairs: Iterable[tuple[Facts, str]], language: str = "en") -> Score:
    """Score captions in `language` (en or zh) against what is true of their clips. ValueError when there are none."""
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for facts, caption in pairs:
        for attribute, good in _marks(facts, caption, language):
            asked[attribute] += 1
            right[attribute] += good
    if not asked:
        raise ValueError("there is no caption to score")
    return Score(asked["whole"], {name: right[name] / asked[name] for name in ATTRIBUTES})


def _marks(facts: Facts, caption: str, language: str) -> Iterable[tuple[str, bool]]:
    write, parse = _LANGUAGES[language]
    said = parse(caption)
    yield "whole", caption.strip() == write(facts)
    yield "background", (said.shade, said.pattern) == (facts.shade, facts.pattern)
    for place, thing in enumerate(facts.things):
        heard = said.things[place] if place < len(said.things) else None
        for attribute, name in (("shape", "shape"), ("colour", "colour"), ("size", "size"), ("motion", "doing")):
            yield attribute, heard is not None and getattr(heard, name) == getattr(thing, name)
