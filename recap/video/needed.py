"""Which packets of a video have to be decoded for the frames that are wanted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recap.video.timeline import Coded


@dataclass(frozen=True, slots=True)
class Stretch:
    """Packet numbers, in decoding order, to decode after one another from a fresh start.

    The first begins a group of pictures; the last is a wanted one.
    """

    numbers: np.ndarray


def needed(coded: Coded, ticks: np.ndarray, entries: np.ndarray) -> list[Stretch]:
    """The stretches that hold all frames shown at `ticks`, ascending and apart.

    `entries` (packets,) bool: where decoding may begin; it may always begin at the first packet.
    """
    starts = np.union1d(0, np.flatnonzero(entries))
    bounds: list[tuple[int, int]] = []
    for place in np.flatnonzero(np.isin(coded.pts, ticks)).tolist():
        start = _start_of(place, coded.pts, starts)
        while bounds and start <= bounds[-1][1]:
            start = min(start, bounds.pop()[0])
        bounds.append((start, place))
    return [Stretch(_decodable(first, last, coded.pts)) for first, last in bounds]


def entries_of(coded: Coded, codec: str) -> np.ndarray:
    """(packets,) bool: the key frames of `codec` behind which no wanted picture refers to anything older.

    What is shown before a key frame but decoded after it may do so. In HEVC nothing else refers to such
    pictures, so that they can be left out; in H.264 a key frame that is followed by some is no entry.
    """
    before = np.maximum.accumulate(np.concatenate([[coded.pts[0] - 1], coded.pts[:-1]]))
    entries = coded.keys & (before < coded.pts)
    if codec == "h264":
        entries &= np.minimum.accumulate(coded.pts[::-1])[::-1] == coded.pts
    return entries


def depth(pts: np.ndarray) -> int:
    """How many frames, each made of the one before, lead to the last of those shown at `pts`, in decoding order.

    B-frames, which are shown before one that was decoded earlier, do not count: they pass hardly an error on.
    """
    return int((pts == np.maximum.accumulate(pts)).sum())


def _start_of(place: int, pts: np.ndarray, starts: np.ndarray) -> int:
    group = int(np.searchsorted(starts, place, "right")) - 1
    leads = pts[place] < pts[starts[group]]
    return int(starts[group - leads if group else 0])


def _decodable(first: int, last: int, pts: np.ndarray) -> np.ndarray:
    numbers = np.arange(first, last + 1)
    return numbers[pts[numbers] >= pts[first]] if first else numbers
