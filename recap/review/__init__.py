"""Is this caption fit to train on? Pure checks, a score, and what to try instead."""

from recap.review.context import Context
from recap.review.draft import Draft, sentences
from recap.review.duplicates import near_duplicates
from recap.review.flags import FLAGS, WEIGHTS
from recap.review.identifier import identify_language
from recap.review.openings import delivered_text
from recap.review.repair import Repair, repair_for
from recap.review.settings import ReviewSettings
from recap.review.translated import review_translation
from recap.review.verdict import FAIL, keep_better, mark_near_duplicate, review, score, scores_again

__all__ = [
    "FAIL",
    "FLAGS",
    "WEIGHTS",
    "Context",
    "Draft",
    "Repair",
    "ReviewSettings",
    "delivered_text",
    "identify_language",
    "keep_better",
    "mark_near_duplicate",
    "near_duplicates",
    "repair_for",
    "review",
    "review_translation",
    "score",
    "scores_again",
    "sentences",
]
