"""Which language a text is in, offline."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any


def identify_language(text: str) -> Mapping[str, float]:
    """The probability of each language by its two-letter code, likeliest first. The model is loaded once a process."""
    return dict(_identifier().rank(text))


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
