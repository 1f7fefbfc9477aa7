"""Texts into pieces of whole sentences and back, and the typography of Chinese."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import partial

from recap.review import sentences
from recap.translation.names import NO_SPACES

_HAN = r"\u3400-\u9fff\uf900-\ufaff"
_WIDE = r"\u3000-\u303f\uff00-\uffef"
_FULL_WIDTH = {",": "，", ";": "；", ":": "：", "?": "？", "!": "！"}
_MARK = re.compile(r"[,;:?!]")
_CHINESE = re.compile(rf"[{_HAN}{_WIDE}]")
_STRAY_SPACE = re.compile(rf"(?<=[{_HAN}{_WIDE}])[ \t]+(?=[{_HAN}{_WIDE}“”‘’])|(?<=[“”‘’])[ \t]+(?=[{_HAN}])")
_FULL_STOP = re.compile(rf"(?<=[{_HAN}{_WIDE}”’]) ?\.(?=\s|$|[{_HAN}“])")
_ELLIPSIS = re.compile(r"\.{3,}|…+")


def pieces(text: str, length: Callable[[str], int], most: int, limit: int) -> list[str]:
    """`text` in pieces of whole sentences, each as long as `most` allows.

    A longer sentence is a piece of its own, and one beyond `limit` is parted.
    """
    packed: list[str] = []
    for sentence in (part for whole in sentences(text) for part in _parted(whole, length, limit)):
        joined = f"{packed[-1]} {sentence}" if packed else sentence
        if packed and length(joined) <= most:
            packed[-1] = joined
        else:
            packed.append(sentence)
    return packed


def _parted(sentence: str, length: Callable[[str], int], limit: int) -> list[str]:
    """In two where it is too long, and again: behind a comma near the middle, or else between words."""
    words = sentence.split()
    if length(sentence) <= limit or len(words) == 1:
        return [sentence]
    commas = [place for place in range(1, len(words)) if words[place - 1].endswith((",", ";", ":"))]
    middle = min(commas or range(1, len(words)), key=lambda place: abs(2 * place - len(words)))
    halves = " ".join(words[:middle]), " ".join(words[middle:])
    return [part for half in halves for part in _parted(half, length, limit)]


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
    while (wider := _wide_brackets(text)) != text:
        text = wider
    text = _MARK.sub(partial(_full_width, text), text)
    text = _FULL_STOP.sub("。", text)
    return _STRAY_SPACE.sub("", re.sub(rf"(?<=[{_WIDE}]) +| +(?=[{_WIDE}])", "", text))


def _wide_brackets(text: str) -> str:
    """Both of a pair where either is wide or has a Chinese sign beside it, such as a wide bracket."""
    signs, opened = list(text), list[int]()
    for end, sign in enumerate(text):
        if sign in "(（":
            opened.append(end)
        elif sign in ")）" and opened:
            start = opened.pop()
            inside = text[start + 1 : end].strip()
            if _CHINESE.search(text[start] + inside[:1] + inside[-1:] + sign + _beside(text, start, end + 1)):
                signs[start], signs[end] = "（）"
    return "".join(signs)


def _full_width(text: str, match: re.Match[str]) -> str:
    """Marks beside Chinese signs; those within numbers and foreign words stay."""
    return _FULL_WIDTH[match[0]] if _CHINESE.search(_beside(text, *match.span())) else match[0]


def _beside(text: str, start: int, end: int) -> str:
    return text[:start].rstrip()[-1:] + text[end:].lstrip()[:1]
