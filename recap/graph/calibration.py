"""How fast an engine is with nothing beside it: some clips of the run once more, when the run has no others."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from itertools import cycle, islice

from recap.engines import PROMPTS_PER_SLOT, Captioner
from recap.records import Frames
from recap.timing import Calibration, Spent, Timing

ENGINE_PHASES = ("vision", "prefill", "decode_steps", "review")
SHARE, MOST_S = 0.05, 30.0  # of the engine's own time so far
FULL_S = 120.0  # where that is too short to fill an engine once
LEAST_S = 2.0  # for clips that are at hand, in a run of which a share would be nothing
STEADY = PROMPTS_PER_SLOT + 2  # texts a slot: to fill it, to measure in, and to run out of
Mark = tuple[float, float]


class Calibrator:
    """Gives an engine the last `keep` clips that it had, with so many `prompts` each, again; their captions go."""

    def __init__(self, captioner: Captioner, timing: Timing, keep: int, prompts: int = 1):
        self.captioner, self.timing, self.prompts = captioner, timing, prompts
        self._kept: deque[tuple[str, Frames]] = deque(maxlen=keep)

    def keep(self, clip_id: str, frames: Frames) -> None:
        """A clip that has had its captions."""
        self._kept.append((clip_id, frames))

    async def measure(self, least: int = 0) -> Calibration | None:
        """The engine with the kept clips over and over: as many as a twentieth of the run so far has time for.

        With `least` so many, and more in up to 30 s where slots would else never be full. None where it is to be none.
        """
        spent, full = self.timing.spent(), self._clips_at_a_time()
        count = max(least, min(STEADY * full, _clips_in(spent, MOST_S))) if least else self._affordable(spent, full)
        if not count or not self._kept:
            return None
        with self.timing.off_the_books():
            start, marks = _now(), await self._marks(count)
        return steady(start, marks, full)

    def _clips_at_a_time(self) -> int:
        """Those that fill the slots which the engine has now: memory may have left it fewer than it was to have."""
        return math.ceil(self.captioner.slots / self.prompts)

    async def _marks(self, count: int) -> list[Mark]:
        """When each of `count` clips was done."""
        marks: list[Mark] = []
        clips = islice(cycle(self._kept), count)
        futures = [
            self.captioner.submit(f"{clip_id} again {turn}", frames) for turn, (clip_id, frames) in enumerate(clips)
        ]
        for future in futures:
            future.add_done_callback(lambda _: marks.append(_now()))
        await asyncio.gather(*map(asyncio.wrap_future, futures))
        return marks

    def _affordable(self, spent: Spent, full: int) -> int:
        share_s = SHARE * _busy_s(spent)
        count = max(_clips_in(spent, min(MOST_S, share_s)), min(len(self._kept), _clips_in(spent, LEAST_S)))
        if count >= full:
            return count
        return full if _clips_in(spent, min(FULL_S, share_s)) >= full else 0  # half full it shows nothing


def steady(start: Mark, marks: Sequence[Mark], full: int) -> Calibration:
    """What clips took while all slots were full and prompts were made for others; all of them where they are few.

    `marks` are the seconds, and core-seconds, at which one clip after another was done; `full` clips fill the slots.
    """
    first, last = full, len(marks) - PROMPTS_PER_SLOT * full
    took_s = marks[-1][0] - start[0]
    last -= (last - first) % full  # texts of one length end together
    if last <= first:
        return Calibration(len(marks), took_s, marks[-1][1] - start[1], took_s)
    (begun, core_begun), (ended, core_ended) = marks[first - 1], marks[last - 1]
    return Calibration(last - first, ended - begun, core_ended - core_begun, took_s)


def _now() -> Mark:
    return time.monotonic(), time.process_time()


def _busy_s(spent: Spent) -> float:
    return sum(spent.seconds.get(name, 0.0) for name in ENGINE_PHASES)


def _clips_in(spent: Spent, seconds: float) -> int:
    """How many clips the engine captions in that time, after what it took so far."""
    busy_s = _busy_s(spent)
    return int(seconds * spent.counts.get("clips", 0) / busy_s) if busy_s else 0
