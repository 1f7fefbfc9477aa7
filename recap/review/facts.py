"""Numbers and colours of an English caption that its Chinese translation must have too."""

from __future__ import annotations

import re

from recap.review.draft import words

COLOURS = {
    "red": "红赤朱绯",
    "blue": "蓝青",
    "green": "绿青翠",
    "yellow": "黄",
    "black": "黑乌",
    "white": "白",
    "grey": "灰",
    "gray": "灰",
    "brown": "棕褐咖",
    "orange": "橙橘桔",
    "purple": "紫",
    "violet": "紫",
    "pink": "粉",
    "golden": "金",
    "silver": "银",
    "beige": "米",
}
_COUNTS = "two three four five six seven eight nine ten eleven twelve".split()
NUMBER_WORDS = {word: number for number, word in enumerate(_COUNTS, start=2)}
_MEANS_TWO = "两双俩对"
_DIGITS = {digit: number for number, digit in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10_000}
_NUMERAL = re.compile("[零〇一二两三四五六七八九十百千万]+")
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")


def lost_numbers(source: str, translation: str) -> tuple[float, ...]:
    """Numbers from two up that the English `source` has, in figures or words, and the Chinese text has not; sorted."""
    said = {NUMBER_WORDS[word] for word in words(source) if word in NUMBER_WORDS}
    kept = figures(translation) | {numeral(run) for run in _NUMERAL.findall(translation)}
    if any(sign in translation for sign in _MEANS_TWO):
        kept.add(2)
    return tuple(sorted((figures(source) | said) - kept - {0, 1}))


def lost_colours(source: str, translation: str) -> tuple[str, ...]:
    """Colours that the English `source` names and the Chinese text does not; sorted."""
    named = set(words(source)) & COLOURS.keys()
    return tuple(sorted(colour for colour in named if not any(sign in translation for sign in COLOURS[colour])))


def figures(text: str) -> set[float]:
    """The numbers that stand in a text in digits; a comma before three digits parts thousands."""
    plain = (re.sub(r",(?=\d{3}\b)", "", run) for run in _FIGURE.findall(text))
    return {float(part) for run in plain for part in _parts(run)}


def _parts(run: str) -> list[str]:
    pieces = run.replace(",", " ").split()
    return [part for piece in pieces for part in ([piece] if piece.count(".") <= 1 else piece.split("."))]


def numeral(run: str) -> float:
    """The value of a Chinese numeral below a hundred million; of one that goes on and on, infinity."""
    total, section, digit = 0.0, 0, 0
    for sign in run:
        if sign in _DIGITS:
            digit = _DIGITS[sign]
        elif sign == "万":
            total, section, digit = (total + section + digit) * 10_000, 0, 0
        else:
            section, digit = section + (digit or 1) * _UNITS[sign], 0
    return total + section + digit
