"""What a captioner has in hand, and which of it an engine dies of."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from recap.engines.base import Request
from recap.records import Caption, ClipError, Frames


@dataclass(eq=False)
class Job:
    """A clip that is to have its captions; `deaths` is how many engines died while they had it."""

    clip_id: str
    frames: Frames | None
    future: Future[tuple[Caption, ...]] = field(default_factory=Future)
    captions: list[Caption | None] = field(default_factory=list)
    deaths: int = 0


@dataclass(frozen=True, eq=False)
class Asked:
    """A request that the engine has; it is kept for an engine that comes after it."""

    job: Job
    place: int
    request: Request
    first: Caption | None = None  # the attempt before this one


class Suspects:
    """After a second death the clips that the engine had are asked one at a time.

    The one it then dies of is guilty, if the next engine can still write what another wrote before: else it is not
    the clip that is at fault.
    """

    def __init__(self) -> None:
        self.sound: Request | None = None  # was answered, for another clip
        self._waiting: deque[list[Asked]] = deque()
        self._alone: Job | None = None
        self._accused: Job | None = None
        self._trial = Job("", None)
        self._reason = ""

    def __bool__(self) -> bool:
        """Whether nothing else may be asked."""
        return bool(self._waiting or self._alone or self._accused)

    @property
    def is_hopeless(self) -> bool:
        """Were the engine to die now, nothing would tell whose fault it is."""
        return self._accused is not None or (self._alone is not None and self.sound is None)

    def after_death(self, asked: Sequence[Asked], reason: str) -> Sequence[Asked]:
        """What the next engine is to be asked at once, where the last one had `asked`."""
        assert not self.is_hopeless
        if self._alone is not None:
            self._accused, self._alone, self._reason = self._alone, None, reason
            return [Asked(self._trial, 0, self.sound)]
        jobs = dict.fromkeys(each.job for each in asked)
        for job in jobs:
            job.deaths += 1
        if all(job.deaths == 1 for job in jobs):
            return asked
        self._waiting.extend([each for each in asked if each.job is job] for job in jobs)
        return []

    def next(self) -> Sequence[Asked]:
        """What the idle engine is to be asked: the next suspect."""
        asked = self._waiting.popleft() if self._waiting else []
        self._alone = asked[0].job if asked else None
        return asked

    def verdict(self, answered: Asked) -> tuple[Job, ClipError] | None:
        """The guilty clip, where that was the trial."""
        if answered.job is not self._trial:
            return None
        guilty, self._accused = self._accused, None
        assert guilty is not None
        message = f"the engine died whenever it had this clip, with no other beside it at last ({self._reason})"
        return guilty, ClipError("caption", "engine_died", message)
