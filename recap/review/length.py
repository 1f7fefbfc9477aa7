"""Captions that are too short or too long for what was asked."""

from __future__ import annotations

from recap.review.context import Context
from recap.review.draft import Draft, word_count


def is_too_short(draft: Draft, context: Context) -> bool:
    """Fewer words than its prompt asks for."""
    return word_count(draft.words) < context.settings.bounds(draft.caption.prompt)[0]


def is_too_long(draft: Draft, context: Context) -> bool:
    """More words than its prompt asks for."""
    return word_count(draft.words) > context.settings.bounds(draft.caption.prompt)[1]
