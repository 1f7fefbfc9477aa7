"""Asking twice: what a reviewer may say of a caption, and how the second request differs from the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from recap.records import Caption


@dataclass(frozen=True, slots=True)
class Retry:
    """Decoding of a second attempt; `instruction` None asks in the same words."""

    max_new_tokens: int
    repetition_penalty: float
    instruction: str | None = None


class Reviewer(Protocol):
    """Looks at every caption while its clip is at hand."""

    def look(self, caption: Caption) -> Caption:
        """The caption with what there is to say of it."""

    def retry(self, caption: Caption) -> Retry | None:
        """What to try once for a caption that was looked at, if anything."""

    def better(self, first: Caption, second: Caption) -> Caption:
        """Which of two attempts that were looked at stays."""
