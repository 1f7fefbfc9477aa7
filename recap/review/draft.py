"""A caption cut into words, sentences and what stands in quotation marks, once for all checks."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

from recap.records import Caption

_EAST = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_LETTERS = rf"[^\W_{_EAST}]+"
# Vowels and the like within a word, from Hebrew to Sinhala. Thai has no spaces: a mark stands for the end of a word.
_MARKS = "".join(sign for sign in map(chr, range(0x590, 0xE00)) if unicodedata.category(sign) in ("Mn", "Mc"))
_WORD = re.compile(rf"[{_EAST}]|{_LETTERS}(?:['’-]{_LETTERS}|[{_MARKS}\u200c\u200d]+(?:{_LETTERS})?)*")
_PLAIN_WORD = re.compile(r"[a-z0-9]++(?:['-][a-z0-9]++)*+")  # the same where all is ASCII, in half the time
STOPS = ".!?।॥۔؟։።။។"  # those with a space behind them
_EASTERN = re.compile(f"[{_EAST}]")
_SENTENCE_END = re.compile(
    rf"(?<=[{STOPS}][\"'”’)])\s+|(?<=[{STOPS}])\s+|(?<=[。！？；][”’」』）])|(?<=[。！？；])(?![”’」』）])|\n+"
)
_QUOTED = re.compile(
    r"\"[^\"]*\"|„[^“”]*[“”]|“[^”]*”|‘[^’]*’|「[^」]*」|『[^』]*』|《[^》]*》|«[^»]*»|(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w))+'(?!\w)"
)


@dataclass(frozen=True)
class Draft:
    """What checks look at. Words are lower-case; each Chinese character or kana is one of its own."""

    caption: Caption

    @property
    def text(self) -> str:
        """As the model wrote it."""
        return self.caption.text

    @cached_property
    def words(self) -> tuple[str, ...]:
        """In order, without punctuation."""
        return words(self.text)

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Split at full stops of either width and at line ends; never empty strings."""
        return sentences(self.text)

    @cached_property
    def unquoted(self) -> str:
        """The text without what it quotes: signs, titles and speech are not the caption's own words."""
        return _QUOTED.sub(" ", self.text)

    @cached_property
    def own_words(self) -> tuple[str, ...]:
        """The words that it does not quote."""
        return self.words if self.unquoted == self.text else words(self.unquoted)

    @cached_property
    def own_sentences(self) -> tuple[str, ...]:
        """The sentences without what they quote."""
        return self.sentences if self.unquoted == self.text else sentences(self.unquoted)


def words(text: str) -> tuple[str, ...]:
    """Lower-case words, each Chinese character or kana a word of its own."""
    text = text.casefold()
    return tuple((_PLAIN_WORD if text.isascii() else _WORD).findall(text))


def sentences(text: str) -> tuple[str, ...]:
    """The sentences and lines of a text, stripped."""
    return tuple(part.strip() for part in _SENTENCE_END.split(text) if part.strip())


def word_count(words: tuple[str, ...]) -> int:
    """How long a text is in words of a Western language: two Chinese characters make one."""
    eastern = sum(1 for word in words if len(word) == 1 and _EASTERN.match(word))
    return len(words) - eastern + (eastern + 1) // 2
