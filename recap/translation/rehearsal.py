"""A translator with no model: Chinese signs that depend on the text alone, for rehearsing a whole run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager
from hashlib import blake2b

from recap.engines import UNWATCHED
from recap.translation.base import Translation
from recap.translation.settings import TranslationSettings

_SIGNS = "红蓝绿黄鸟船树河街灯人走过看着慢快大小高低左右上下前后"


class RehearsalTranslator:
    """Writes about as many signs as a translation would have, in sentences."""

    def __init__(self, settings: TranslationSettings, watch: AbstractContextManager = UNWATCHED):
        self._most, self._watch = settings.max_new_tokens, watch

    def translate(self, texts: Sequence[str], language: str, *, second: bool = False) -> list[Translation]:
        with self._watch:
            return [self._one(text, language, second) for text in texts]

    def close(self) -> None:
        """There is nothing to let go."""

    def _one(self, text: str, language: str, second: bool) -> Translation:
        chance = random.Random(blake2b(f"{language}/{second}/{text}".encode(), digest_size=8).digest())
        count = max(1, 2 * len(text.split()))
        signs = "".join(chance.choice(_SIGNS) for _ in range(min(count, self._most)))
        return Translation(f"{signs}。", "stop" if count <= self._most else "length", len(signs))
