"""The labelled captions that the review's checks are measured on, built from hand-written patterns.

`tests/review/data` holds two halves: thresholds are tuned on `tune`, figures come from `held_out`. A pattern (a
clean caption, a loop, a refusal, a tail that breaks off) is in one half only; what is built from it stays there.
In the files a line is a pattern, `\\n` a line end, `\\s` a space, `\\e` nothing; ` || ` parts fields, and ` ++flag`
names a flag that is also fair.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recap.records import Caption

DATA = Path(__file__).parents[1] / "tests/review/data"
HALVES = ("tune", "held_out")
SEED = 7
Patterns = dict[str, list[str]]


@dataclass(frozen=True)
class Example:
    """A caption, the flags that it must have, and those that it may have: everything else is wrong."""

    caption: Caption
    flags: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()
    instruction: str = ""
    system: str = ""


def read_patterns(half: str) -> Patterns:
    """Section → its lines, of both files of a half."""
    patterns: Patterns = {}
    for kind in ("clean", "patterns"):
        for line in (DATA / f"{kind}_{half}.txt").read_text(encoding="utf-8").splitlines():
            if line.startswith("[") and re.fullmatch(r"\[[a-z_ ]+\]", line):
                section = patterns.setdefault(line[1:-1], [])
            elif line:
                section.append(line.replace("\\n", "\n").replace("\\s", " ").replace("\\e", ""))
    return patterns


class Builder:
    """Builds one half; the same seed gives the same examples."""

    def __init__(self, half: str):
        self.patterns = read_patterns(half)
        self.random = random.Random(SEED)

    def examples(self) -> list[Example]:
        """All classes, clean captions and near misses included."""
        parts = (self.clean, self.empty, self.truncated, self.repetition, self.echo, self.refusal)
        more = (self.language, self.openings, self.too_short, self.too_long)
        return [example for part in (*parts, *more) for example in part()]

    def clean(self) -> Iterator[Example]:
        """Captions without a fault, and those that only look as if they had one."""
        for start in ("", "near_miss "):
            for prompt in ("dense", "medium", "short", "zh"):
                for text in self.patterns.get(start + prompt, []):
                    yield Example(self.caption(text, "dense" if prompt == "zh" else prompt, zh=prompt == "zh"))

    def empty(self) -> Iterator[Example]:
        """Nothing, or only what surrounds an answer."""
        for text in self.patterns["empty"]:
            yield Example(self.caption(text), frozenset({"empty"}))

    def truncated(self) -> Iterator[Example]:
        """Tails that break off after whole sentences, and whole captions cut by a rule."""
        flags, may = frozenset({"truncated"}), frozenset({"too_short"})
        for zh, section in ((False, "truncated tails"), (True, "truncated zh")):
            for tail in self.patterns[section]:
                text = self.opening(2, zh) + ("" if zh else " ") + tail
                yield Example(self.caption(text, zh=zh, reason=self.random.choice(("length", "stop"))), flags, may)
        for rule in self.patterns["truncated cuts"]:
            for _ in range(3):
                cut, reason = rule.split()
                yield Example(self.caption(self.cut(self.lead(False), cut), reason=reason), flags, may)

    def cut(self, text: str, where: str) -> str:
        """A caption broken off between words or within one; `whole` leaves it."""
        if where == "whole":
            return text
        words = text.split(" ")
        place = next(n for n in range(len(words) * 2 // 3, len(words)) if re.fullmatch(r"[a-z]{4,}", words[n]))
        return " ".join(words[: place + 1])[: None if where == "words" else -2]

    def repetition(self) -> Iterator[Example]:
        """Loops after a sound beginning, some of them run into the token limit; and texts that repeat as a whole."""
        may = frozenset({"truncated", "too_long", "too_short"})
        for zh, section in ((False, "repetition loops"), (True, "repetition zh")):
            for number, pattern in enumerate(self.patterns[section]):
                pattern, *more = pattern.split(" ++")
                times, piece = pattern.split(" x ")
                loop = ("" if zh else " ").join([piece] * int(times))
                reason = "length" if number % 2 else "stop"
                text = self.opening(1, zh) + ("" if zh else " ") + loop
                yield Example(self.caption(text, zh=zh, reason=reason), frozenset({"repetition"}), may.union(more))
        for text in self.patterns["repetition texts"]:
            text, *more = text.split(" ++")
            yield Example(self.caption(text), frozenset({"repetition"}), may.union(more))

    def echo(self) -> Iterator[Example]:
        """What the model was told, said again."""
        may = frozenset({"too_short", "too_long", "stock_opening", "truncated", "refusal"})
        for zh, section in ((False, "echo"), (True, "echo zh")):
            for pattern in self.patterns[section]:
                told, text = pattern.split(" || ")
                instruction, _, system = told.partition(" System: ")
                caption = self.caption(text.replace("{lead}", self.lead(zh)), zh=zh)
                yield Example(caption, frozenset({"echo"}), may, instruction, system)

    def refusal(self) -> Iterator[Example]:
        """The model speaks of itself."""
        may = frozenset({"too_short", "stock_opening", "echo"})
        for zh, section in ((False, "refusal"), (True, "refusal zh")):
            for text in self.patterns[section]:
                caption = self.caption(text.replace("{lead}", self.lead(zh)), zh=zh)
                yield Example(caption, frozenset({"refusal"}), may)

    def language(self) -> Iterator[Example]:
        """Other languages, and words of other scripts."""
        for flag in ("wrong_language", "mixed_scripts"):
            other = {"wrong_language": "mixed_scripts", "mixed_scripts": "wrong_language"}[flag]
            may = frozenset({"too_short", "stock_opening"} | ({other} if flag == "wrong_language" else set()))
            for pattern in self.patterns[flag]:
                language, text = pattern.split(" || ")
                yield Example(self.caption(text, zh=language == "zh"), frozenset({flag}), may)

    def openings(self) -> Iterator[Example]:
        """Stock openings before clean captions."""
        for zh, section in ((False, "stock_opening"), (True, "stock_opening zh")):
            for pattern in self.patterns[section]:
                clean = self.lead(zh)
                text = pattern.replace("{clean}", clean[0].lower() + clean[1:])
                yield Example(self.caption(text, zh=zh), frozenset({"stock_opening"}))

    def too_short(self) -> Iterator[Example]:
        """Whole sentences that say too little for their prompt."""
        for pattern in self.patterns["too_short"]:
            prompt, text = pattern.split(" || ")
            zh = re.search("[\u4e00-\u9fff]", text) is not None
            yield Example(self.caption(text, prompt, zh=zh), frozenset({"too_short"}))

    def too_long(self) -> Iterator[Example]:
        """Several clean captions, one after another."""
        for pattern in self.patterns["too_long"]:
            prompt, count = pattern.split()
            for _ in range(3):
                text = " ".join(self.random.sample(self.patterns["dense"], int(count)))
                yield Example(self.caption(text, prompt), frozenset({"too_long"}))

    def lead(self, zh: bool) -> str:
        """A clean dense caption of this half."""
        return self.random.choice(self.patterns["zh" if zh else "dense"])

    def opening(self, count: int, zh: bool) -> str:
        """The first sentences of one."""
        return "".join(re.findall(r"[^.。!！]+[.。!！]", self.lead(zh))[:count]).strip()

    @staticmethod
    def caption(text: str, prompt: str = "dense", *, zh: bool = False, reason: str = "stop") -> Caption:
        """As an engine would return it."""
        return Caption(prompt, text, language="zh" if zh else "en", finish_reason=reason)


def duplicate_corpus(half: str, copies: int = 4000) -> tuple[list[str], list[bool]]:
    """Texts in ordinal order, and which are near-duplicates: edited captions, and one that comes `copies` times."""
    patterns, draw = read_patterns(half), random.Random(SEED)
    clean = patterns["dense"] + patterns["medium"] + patterns["zh"]
    clean += [text for section, texts in patterns.items() if section.startswith("near_miss") for text in texts]
    edited = [EDITS[name](text, draw) for name in patterns["near_duplicate"] for text in patterns["dense"]]
    late = edited + [clean[0]] * (copies - 1)
    draw.shuffle(late)
    return clean + late, [False] * len(clean) + [True] * len(late)


def _one_word(text: str, draw: random.Random) -> str:
    words = text.split(" ")
    words[draw.randrange(len(words))] = "red"
    return " ".join(words)


def _two_swapped(text: str, draw: random.Random) -> str:
    words = text.split(" ")
    place = draw.randrange(len(words) - 1)
    words[place : place + 2] = reversed(words[place : place + 2])
    return " ".join(words)


EDITS = {
    "same": lambda text, draw: text,
    "upper": lambda text, draw: text.upper(),
    "lower": lambda text, draw: text.lower(),
    "punctuation": lambda text, draw: text.replace(",", "").replace(".", " ."),
    "spaces": lambda text, draw: "  " + text.replace(" ", "  ") + "\n",
    "one_word": _one_word,
    "two_swapped": _two_swapped,
}
