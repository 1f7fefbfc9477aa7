"""Which samples there are: conversations about videos and pictures, in VideoChat2's form."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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


@dataclass(frozen=True, slots=True)
class Bad:
    """A sample that cannot be learnt from, and why."""

    path: str
    reason: str


def read_sets(sets: Sequence[DataSet]) -> tuple[list[Sample], list[Bad]]:
    """Every sample of every set, as often as its weight says, and those that are missing or empty.

    Raises ValueError for a file that is missing or not in the form, with the entry that is not.
    """
    samples: list[Sample] = []
    bad: list[Bad] = []
    for data_set in sets:
        good = []
        for sample in _read(data_set):
            reason = _fault(sample)
            if reason:
                bad.append(Bad(sample.path, reason))
            else:
                good.append(sample)
        samples += _weighted(good, data_set)
    return samples, bad


def _read(data_set: DataSet) -> Iterator[Sample]:
    for file in annotation_files(Path(data_set.path).expanduser()):
        root = Path(data_set.root).expanduser() if data_set.root else file.parent
        for number, entry in enumerate(read_annotations(file)):
            try:
                yield _sample(entry, root)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"data.sets: entry {number} of {file} is no conversation ({error!r})") from None


def _sample(entry: dict[str, Any], root: Path) -> Sample:
    kind: Literal["video", "image"] = "video" if "video" in entry else "image"
    turns = tuple(Turn(turn["q"], turn["a"], turn.get("i") or "") for turn in entry["QA"])
    start, end = (None if entry.get(name) is None else float(entry[name]) for name in ("start", "end"))
    return Sample(str(root / entry[kind]), kind, turns, start, end)


def _fault(sample: Sample) -> str:
    if not sample.turns or not all(turn.answer.strip() for turn in sample.turns):
        return "an answer is empty"
    return "" if Path(sample.path).is_file() else "the file is missing"


def _weighted(samples: list[Sample], data_set: DataSet) -> list[Sample]:
    whole, part = divmod(data_set.weight, 1)
    chosen = random.Random(data_set.path).sample(samples, round(part * len(samples)))
    return samples * int(whole) + chosen
