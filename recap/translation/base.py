"""What every translator speaks. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Translation:
    """One text in another language, and why it ends where it does; tokens are the model's."""

    text: str
    finish_reason: Literal["stop", "length"]
    output_tokens: int


class Translator(Protocol):
    """Turns English texts into another language. What a text becomes does not depend on its neighbours."""

    def translate(self, texts: Sequence[str], language: str, *, second: bool = False) -> list[Translation]:
        """Each text in `language` (a two-letter code), in order; a `second` attempt decodes in another way.

        Raises ValueError for a language that the model does not know, and MemoryError where not even one text fits.
        """

    def close(self) -> None:
        """Let the model go."""
