"""One caption through all checks, its score, and the better one of two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from recap.records import Caption
from recap.review.context import Context
from recap.review.draft import Draft, words
from recap.review.flags import NEAR_DUPLICATE, TOLERATED_WEIGHT, WEIGHTS, raised_by
from recap.review.repetition import distinct_share
from recap.review.settings import ReviewSettings

PASS, FAIL = "pass", "fail"


def review(caption: Caption, context: Context) -> Caption:
    """The caption with its flags, its verdict and its score; the text is left alone.

    The verdict is `fail` when any flag is raised that `review.tolerate` does not list, else `pass`.
    """
    flags = raised_by(Draft(caption), context)
    reviewed = replace(caption, flags=flags, verdict=verdict_of(flags, context.settings))
    return replace(reviewed, scores=(score(reviewed, context.settings),))


def score(caption: Caption, settings: ReviewSettings) -> float:
    """How fit a reviewed caption is, from 0 to 1.

    It starts from 1; each flag takes off its weight, a tolerated one 0.01, never below 0. That makes 95
    parts in a hundred. The other 5 are the share of its three-word pieces that differ from one another,
    which decides between captions with the same flags. So a caption that passes always beats one that fails.
    """
    weights = (TOLERATED_WEIGHT if flag in settings.tolerate else WEIGHTS[flag] for flag in caption.flags)
    whole = max(0.0, 1 - sum(weights))
    return round(0.95 * whole + 0.05 * distinct_share(words(caption.text)), 4)


def keep_better(first: Caption, second: Caption) -> Caption:
    """The one with the higher score of a reviewed caption and its repair; the first where they are equal.

    It carries one more repair, both scores in the order of the attempts, and the first attempt's flags.
    """
    kept = second if second.scores[-1] > first.scores[-1] else first
    scores = (*first.scores, *second.scores)
    return replace(kept, repairs=first.repairs + 1, scores=scores, flags_before=first.flags)


def mark_near_duplicate(caption: Caption, settings: ReviewSettings) -> Caption:
    """A reviewed caption with that flag too, and the verdict and score that follow."""
    flags = tuple(sorted({*caption.flags, NEAR_DUPLICATE}))
    marked = replace(caption, flags=flags, verdict=verdict_of(flags, settings))
    return replace(marked, scores=scores_again(caption.scores, score(marked, settings)))


def scores_again(scores: Sequence[float], kept: float) -> tuple[float, ...]:
    """The attempts' `scores` where the kept one's, the highest, has become `kept`: that of no other is higher."""
    place = scores.index(max(scores)) if scores else 0
    others = [min(score, kept) for score in scores]
    return (*others[:place], kept, *others[place + 1 :])


def verdict_of(flags: Iterable[str], settings: ReviewSettings) -> str:
    """`fail` where a flag is raised that `review.tolerate` does not list, else `pass`."""
    return FAIL if set(flags) - set(settings.tolerate) else PASS
