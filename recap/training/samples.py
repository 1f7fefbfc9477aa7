"""Which samples there are: conversations about videos and pictures, in VideoChat2's form."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from recap.pllava.prompts import IMAGE
from recap.training.annotations import annotation_files, read_annotations
from recap.training.conversation import Turn
from recap.training.settings import DataSet


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversation about one video or image; `start_s`, `end_s` are seconds into the video."""

    path: str
    kind: Literal["video", "image"]
    turns: tuple[Turn, ...]
    start_s: float | None = None
    end_s: float | None = None

    @property
    def name(self) -> str:
        """By which it is known: several may be about one file."""
        return blake2b(repr(self).encode(), digest_size=8).hexdigest()

    def bad(self, reason: str, *, damaged: bool = False) -> Bad:
        """What is said of it where it cannot be learnt from."""
        return Bad(self.path, reason, self.name, damaged)


@dataclass(frozen=True, slots=True)
class Bad:
    """A sample, of `name`, that cannot be learnt from, and why; `damaged` when its file could not be decoded."""

    path: str
    reason: str
    name: str
    damaged: bool = False


def read_sets(sets: Sequence[DataSet]) -> tuple[list[Sample], list[Bad], int]:
    """Every sample of every set, as often as its weight says, those that are missing or empty, and how many were read.

    Raises ValueError for a file that is missing or not in the form, with the entry that is not.
    """
    samples: list[Sample] = []
    bad: list[Bad] = []
    good_ones = 0
    for number, data_set in enumerate(sets):
        good = []
        for sample in _read(data_set):
            reason = _fault(sample)
            if reason:
                bad.append(sample.bad(reason))
            else:
                good.append(sample)
        samples += _weighted(good, data_set.weight, number)
        good_ones += len(good)
    return samples, bad, good_ones + len(bad)


def _read(data_set: DataSet) -> Iterator[Sample]:
    for file in annotation_files(Path(data_set.path).expanduser()):
        root = Path(data_set.root).expanduser() if data_set.root else file.parent
        for number, entry in enumerate(read_annotations(file)):
            try:
                yield _sample(entry, root)
            except KeyError as error:
                raise ValueError(f"data.sets: entry {number} of {file} is no conversation: it has no {error}") from None
            except (AttributeError, TypeError, ValueError) as error:
                raise ValueError(f"data.sets: entry {number} of {file} is no conversation ({error})") from None


def _sample(entry: dict[str, Any], root: Path) -> Sample:
    """`entry` as read; without `QA` it is the one turn itself, as in a table. An empty cell is None."""
    kind: Literal["video", "image"] = "image" if entry.get("video") is None else "video"
    if entry.get(kind) is None:
        raise ValueError("it names no video and no image")
    turns = tuple(Turn(_text(turn["q"]), _text(turn["a"]), _text(turn.get("i"))) for turn in entry.get("QA", [entry]))
    start, end = (None if entry.get(name) is None else float(entry[name]) for name in ("start", "end"))
    return Sample(str(root / entry[kind]), kind, turns, start, end)


def _text(value: Any) -> str:
    if isinstance(value, list | dict):
        raise TypeError(f"questions and answers are text, not {value!r}")
    return "" if value is None else str(value)


def _fault(sample: Sample) -> str:
    if not sample.turns or not all(turn.answer.strip() for turn in sample.turns):
        return "an answer is empty"
    if any(IMAGE in text for turn in sample.turns for text in (turn.instruction, turn.question, turn.answer)):
        return f"its text holds {IMAGE}, which is put in where data.conversation wants it"
    return "" if os.path.isfile(sample.path) else "the file is missing"


def _weighted(samples: list[Sample], weight: float, seed: int) -> list[Sample]:
    whole, part = divmod(weight, 1)
    chosen = random.Random(seed).sample(samples, round(part * len(samples)))
    return samples * int(whole) + chosen
