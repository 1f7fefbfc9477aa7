"""How fast an engine is with nothing beside it: some clips of the run once more, when the run has no others."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from recap.engines import Captioner
from recap.records import Frames
from recap.timing import Calibration, Spent, Timing

ENGINE_PHASES = ("vision", "prefill", "decode_steps", "review")
SHARE, LEAST_S, MOST_S = 0.05, 2.0, 30.0  # of the engine's own time so far


class Calibrator:
    """Keeps the last `most` clips that `captioner` was given. Their second captions are thrown away."""

    def __init__(self, captioner: Captioner, timing: Timing, most: int):
        self.captioner, self.timing = captioner, timing
        self._kept: deque[tuple[str, Frames]] = deque(maxlen=most)

    def keep(self, clip_id: str, frames: Frames) -> None:
        """A clip that has had its captions."""
        self._kept.append((clip_id, frames))

    async def measure(self, most: int | None = None) -> Calibration | None:
        """`most` of the kept clips, else as many as a twentieth of the run so far has time for; None where that is
        none."""
        clips = list(self._kept)[: affordable(self.timing.spent()) if most is None else most]
        if not clips:
            return None
        with self.timing.off_the_books():
            start, core = time.monotonic(), time.process_time()
            futures = [self.captioner.submit(clip_id, frames) for clip_id, frames in clips]
            await asyncio.gather(*map(asyncio.wrap_future, futures))
            return Calibration(len(clips), time.monotonic() - start, time.process_time() - core)


def affordable(spent: Spent) -> int:
    """How many clips a calibration may take, after what the run took for its own."""
    busy = sum(spent.seconds.get(name, 0.0) for name in ENGINE_PHASES)
    budget = min(MOST_S, max(LEAST_S, SHARE * busy))
    return int(budget * spent.counts.get("clips", 0) / busy) if busy else 0
