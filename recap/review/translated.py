"""Does a translation say what its caption says, in the language asked for, and nothing else?"""

from __future__ import annotations

from dataclasses import replace

from recap.records import Caption
from recap.review.context import Context
from recap.review.draft import Draft, word_count
from recap.review.facts import lost_colours, lost_numbers
from recap.review.flags import raised_by
from recap.review.settings import ReviewSettings
from recap.review.verdict import score, verdict_of

ABOUT_THE_CAPTION = {"stock_opening", "too_long", "too_short"}  # the caption's faults, not its translation's


def review_translation(source: Caption, translation: Caption, context: Context) -> Caption:
    """`translation` with its flags, verdict and score, given the caption that it renders.

    Flags are those of `review`, except for what the caption answers for itself, and `off_length`,
    `lost_numbers` and `lost_colours`; the last two are looked for from English to Chinese. In
    `context` the instruction and system text are what the translator was given.
    """
    flags = set(raised_by(Draft(translation), context)) - ABOUT_THE_CAPTION
    if "empty" not in flags:
        flags |= {name for name, raised in _compared(source, translation, context.settings) if raised}
    ordered = tuple(sorted(flags))
    reviewed = replace(translation, flags=ordered, verdict=verdict_of(ordered, context.settings))
    return replace(reviewed, scores=(score(reviewed, context.settings),))


def _compared(source: Caption, translation: Caption, settings: ReviewSettings) -> list[tuple[str, bool]]:
    found = [("off_length", is_off_length(source, translation, settings))]
    if (source.language, translation.language) == ("en", "zh"):
        found.append(("lost_numbers", bool(lost_numbers(source.text, translation.text))))
        found.append(("lost_colours", bool(lost_colours(Draft(source).unquoted, translation.text))))
    return found


def is_off_length(source: Caption, translation: Caption, settings: ReviewSettings) -> bool:
    """Much shorter or longer than the caption, in words; two Chinese characters count as one."""
    least, most = settings.length_ratio
    ratio = word_count(Draft(translation).words) / max(1, word_count(Draft(source).words))
    return not least <= ratio <= most
