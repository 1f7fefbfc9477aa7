"""Every flag: what raises it, and how much it takes off a caption's score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from recap.review.context import Context
from recap.review.draft import Draft
from recap.review.echo import is_echo
from recap.review.endings import is_empty, is_truncated
from recap.review.language import has_mixed_scripts, is_wrong_language
from recap.review.length import is_too_long, is_too_short
from recap.review.openings import has_stock_opening
from recap.review.refusal import is_refusal
from recap.review.repetition import is_repetitive

NEAR_DUPLICATE = "near_duplicate"  # over the whole corpus, so no check of one caption raises it
TOLERATED_WEIGHT = 0.01


@dataclass(frozen=True, slots=True)
class Flag:
    """A defect: the check that finds it, and its weight, from 0.2 (a blemish) to 1 (worthless)."""

    check: Callable[[Draft, Context], bool]
    weight: float


FLAGS: Mapping[str, Flag] = {
    "echo": Flag(is_echo, 0.8),
    "mixed_scripts": Flag(has_mixed_scripts, 0.4),
    "refusal": Flag(is_refusal, 0.9),
    "repetition": Flag(is_repetitive, 0.6),
    "stock_opening": Flag(has_stock_opening, 0.2),
    "too_long": Flag(is_too_long, 0.2),
    "too_short": Flag(is_too_short, 0.3),
    "truncated": Flag(is_truncated, 0.3),
    "wrong_language": Flag(is_wrong_language, 0.8),
}
OF_TRANSLATIONS = {"lost_colours": 0.3, "lost_numbers": 0.3, "off_length": 0.4}
WEIGHTS = {"empty": 1.0, NEAR_DUPLICATE: 0.2} | {name: flag.weight for name, flag in FLAGS.items()} | OF_TRANSLATIONS


def raised_by(draft: Draft, context: Context) -> tuple[str, ...]:
    """The names of the flags, sorted. An empty caption has that one alone."""
    if is_empty(draft, context):
        return ("empty",)
    return tuple(sorted(name for name, flag in FLAGS.items() if flag.check(draft, context)))
