"""Facts drawn from the whole grammar, whether or not a clip could show them, and which of them are held out."""

from __future__ import annotations

import random
import zlib

from recap.pocket.facts import CAMERAS, COLOURS, PATTERNS, SHADES, SHAPES, SIZES, Facts, Thing
from recap.pocket.grammar import ENGLISH_DOING, english

HELD_OUT = 10  # one caption in so many
_DOINGS = tuple(ENGLISH_DOING)
_THINGS = (1, 2, 2, 3)


def draw_facts(chance: random.Random, *, held_out: bool) -> Facts:
    """What a caption may say: every attribute by lot, so that a captioner's mistakes are among them.

    With `held_out` it is of those whose captions no translator is trained on, without it of the others.
    """
    while True:
        things = tuple(_thing(chance) for _ in range(chance.choice(_THINGS)))
        facts = Facts(things, chance.choice(SHADES), chance.choice(PATTERNS), chance.choice(CAMERAS))
        if is_held_out(english(facts)) == held_out:
            return facts


def is_held_out(caption: str) -> bool:
    """Whether this English caption is kept from training; the same on every machine."""
    return zlib.crc32(caption.encode()) % HELD_OUT == 0


def _thing(chance: random.Random) -> Thing:
    return Thing(*map(chance.choice, (SIZES, COLOURS, SHAPES, _DOINGS)))
