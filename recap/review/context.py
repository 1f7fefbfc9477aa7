"""What a caption is judged against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from recap.review.identifier import identify_language
from recap.review.settings import ReviewSettings


@dataclass(frozen=True)
class Context:
    """The texts that the model was given for this caption, and the settings.

    `instruction` and `system` are the words themselves, not shipped names. `identify` gives
    the probability of each language, by two-letter code, that a text is in it.
    """

    settings: ReviewSettings = field(default_factory=ReviewSettings)
    instruction: str = ""
    system: str = ""
    identify: Callable[[str], Mapping[str, float]] = identify_language
