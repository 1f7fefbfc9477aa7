"""Texts into pieces of whole sentences and back, and the typography of Chinese."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from recap.review import sentences
from recap.translation.names import NO_SPACES

_HAN = r"\u3400-\u9fff\uf900-\ufaff"
_WIDE = r"\u3000-\u303f\uff00-\uffef"
_FULL_WIDTH = {",": "，", ";": "；", ":": "：", "?": "？", "!": "！", "(": "（", ")": "）"}
_MARK = re.compile(r"[,;:?!()]")
_STRAY_SPACE = re.compile(rf"(?<=[{_HAN}{_WIDE}])[ \t]+(?=[{_HAN}{_WIDE}“”‘’])|(?<=[“”‘’])[ \t]+(?=[{_HAN}])")
_FULL_STOP = re.compile(rf"(?<=[{_HAN}{_WIDE}”’]) ?\.(?=\s|$|[{_HAN}“])")
_ELLIPSIS = re.compile(r"\.{3,}|…+")


def pieces(text: str, length: Callable[[str], int], most: int) -> list[str]:
    """`text` in pieces of whole sentences, each as long as `most` allows; a longer sentence is a piece of its own."""
    packed: list[str] = []
    for sentence in sentences(text):
        joined = f"{packed[-1]} {sentence}" if packed else sentence
        if packed and length(joined) <= most:
            packed[-1] = joined
        else:
            packed.append(sentence)
    return packed


def joined(parts: Iterable[str], language: str) -> str:
    """Translated pieces as one text."""
    return ("" if language in NO_SPACES else " ").join(part.strip() for part in parts)


def typeset(text: str, language: str) -> str:
    """NFC without outer white space; Chinese with full-width punctuation and without spaces between its signs."""
    text = unicodedata.normalize("NFC", text).strip()
    return _chinese(text) if language == "zh" else text


def _chinese(text: str) -> str:
    text = _ELLIPSIS.sub("……", text)
    text = _STRAY_SPACE.sub("", text)
    text = _MARK.sub(lambda match: _full_width(match, text), text)
    text = _FULL_STOP.sub("。", text)
    return _STRAY_SPACE.sub("", re.sub(rf"(?<=[{_WIDE}]) +| +(?=[{_WIDE}])", "", text))


def _full_width(match: re.Match[str], text: str) -> str:
    """Marks beside Chinese signs; those within numbers and foreign words stay."""
    beside = text[: match.start()].rstrip()[-1:] + text[match.end() :].lstrip()[:1]
    return _FULL_WIDTH[match[0]] if re.search(rf"[{_HAN}{_WIDE}]", beside) else match[0]
