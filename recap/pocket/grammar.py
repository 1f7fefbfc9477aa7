"""The one grammar of the pocket world: facts to English and Chinese, and either back to facts."""

from __future__ import annotations

import re

from recap.pocket.facts import COLOURS, PATTERNS, SHADES, SHAPES, SIZES, Facts, Thing

ENGLISH_DOING = {
    "left": "moves to the left",
    "right": "moves to the right",
    "up": "moves up",
    "down": "moves down",
    "up_left": "moves up and to the left",
    "up_right": "moves up and to the right",
    "down_left": "moves down and to the left",
    "down_right": "moves down and to the right",
    "still": "stays still",
    "growing": "grows",
    "shrinking": "shrinks",
    "turning": "turns on the spot",
    "bouncing": "bounces up and down",
    "upper_left": "is in the upper left",
    "top": "is at the top",
    "upper_right": "is in the upper right",
    "left_side": "is on the left",
    "middle": "is in the middle",
    "right_side": "is on the right",
    "lower_left": "is in the lower left",
    "bottom": "is at the bottom",
    "lower_right": "is in the lower right",
}
ENGLISH_CAMERA = {
    "still": "",
    "pans_left": " while the camera pans to the left",
    "pans_right": " while the camera pans to the right",
}
CHINESE_WORDS = {
    "small": "小的",
    "large": "大的",
    "blue": "蓝色",
    "cyan": "青色",
    "green": "绿色",
    "purple": "紫色",
    "red": "红色",
    "yellow": "黄色",
    "square": "方块",
    "ring": "圆环",
    "triangle": "三角形",
    "bar": "横条",
    "pillar": "竖条",
    "dark": "深色",
    "light": "浅色",
    "plain": "纯色",
    "striped": "条纹",
    "checkered": "棋盘格",
    "dotted": "圆点",
}
CHINESE_DOING = {
    "left": "向左移动",
    "right": "向右移动",
    "up": "向上移动",
    "down": "向下移动",
    "up_left": "向左上方移动",
    "up_right": "向右上方移动",
    "down_left": "向左下方移动",
    "down_right": "向右下方移动",
    "still": "保持不动",
    "growing": "逐渐变大",
    "shrinking": "逐渐变小",
    "turning": "原地旋转",
    "bouncing": "上下弹跳",
    "upper_left": "位于左上角",
    "top": "位于上方",
    "upper_right": "位于右上角",
    "left_side": "位于左侧",
    "middle": "位于中间",
    "right_side": "位于右侧",
    "lower_left": "位于左下角",
    "bottom": "位于下方",
    "lower_right": "位于右下角",
}
CHINESE_CAMERA = {"still": "", "pans_left": "，镜头向左平移", "pans_right": "，镜头向右平移"}


def _alternatives(words) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


def _in_chinese(names) -> str:
    return _alternatives(CHINESE_WORDS[name] for name in names)


_THING = re.compile(
    rf"\b[Aa] ({_alternatives(SIZES)}) ({_alternatives(COLOURS)}) ({_alternatives(SHAPES)}) "
    rf"({_alternatives(ENGLISH_DOING.values())})\b"
)
_BACKGROUND = re.compile(rf"on a ({_alternatives(SHADES)}) ({_alternatives(PATTERNS)}) background")
_DOING_OF = {phrase: doing for doing, phrase in ENGLISH_DOING.items()}
_CHINESE_THING = re.compile(
    rf"一个({_in_chinese(SIZES)})({_in_chinese(COLOURS)})({_in_chinese(SHAPES)})"
    rf"({_alternatives(CHINESE_DOING.values())})"
)
_CHINESE_BACKGROUND = re.compile(rf"在({_in_chinese(SHADES)})({_in_chinese(PATTERNS)})背景上")
_MEANT_BY = {word: meant for meant, word in (CHINESE_WORDS | CHINESE_DOING).items()}


def english(facts: Facts) -> str:
    """One sentence, such as "A large red circle moves up and a small … on a dark striped background."."""
    things = " and ".join(
        f"a {thing.size} {thing.colour} {thing.shape} {ENGLISH_DOING[thing.doing]}" for thing in facts.things
    )
    text = f"{things} on a {facts.shade} {facts.pattern} background{ENGLISH_CAMERA[facts.camera]}."
    return text[0].upper() + text[1:]


def chinese(facts: Facts) -> str:
    """The same facts as one sentence of Chinese."""
    word = CHINESE_WORDS
    things = "，".join(
        f"一个{word[thing.size]}{word[thing.colour]}{word[thing.shape]}{CHINESE_DOING[thing.doing]}"
        for thing in facts.things
    )
    return f"在{word[facts.shade]}{word[facts.pattern]}背景上，{things}{CHINESE_CAMERA[facts.camera]}。"


def parse_english(text: str) -> Facts:
    """What `text` says in the grammar's words; what it does not say is missing or empty."""
    things = tuple(
        Thing(size, colour, shape, _DOING_OF[phrase]) for size, colour, shape, phrase in _THING.findall(text)
    )
    shade, pattern = found.groups() if (found := _BACKGROUND.search(text)) else ("", "")
    return Facts(things, shade, pattern, _camera(text, ENGLISH_CAMERA))


def parse_chinese(text: str) -> Facts:
    """The same for Chinese."""
    things = tuple(Thing(*(_MEANT_BY[word] for word in words)) for words in _CHINESE_THING.findall(text))
    found = _CHINESE_BACKGROUND.search(text)
    shade, pattern = (_MEANT_BY[word] for word in found.groups()) if found else ("", "")
    return Facts(things, shade, pattern, _camera(text, CHINESE_CAMERA))


def _camera(text: str, phrases: dict[str, str]) -> str:
    return next((name for name, phrase in phrases.items() if phrase and phrase in text), "still")
