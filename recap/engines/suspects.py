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
    """A clip that is to have its captions; `deaths` is how many engines died with it, `deaths_alone` with no other."""

    clip_id: str
    frames: Frames | None
    is_reviewed: bool = True
    future: Future[tuple[Caption, ...]] = field(default_factory=Future)
    captions: list[Caption | None] = field(default_factory=list)
    deaths: int = 0
    deaths_alone: int = 0


@dataclass(frozen=True, eq=False)
class Asked:
    """A request that the engine has; it is kept for an engine that comes after it."""

    job: Job
    place: int
    request: Request
    first: Caption | None = None  # the attempt before this one


class Suspects:
    """After a second death the clips that the engine had are asked one at a time.

    One that it dies of then is accused. It is guilty the second time, if both times the next engine could still write
    what one wrote before: else it is not the clip that is at fault. Before any engine wrote anything, others are asked
    first.
    """

    def __init__(self) -> None:
        self.answered: Request | None = None  # what an engine has written a text for
        self._waiting: deque[Sequence[Asked]] = deque()
        self._alone: Sequence[Asked] = ()
        self._accused: Sequence[Asked] = ()
        self._trial = Job("", None)
        self._reason = ""

    def __bool__(self) -> bool:
        """Whether nothing else may be asked."""
        return bool(self._waiting or self._alone or self._accused)

    @property
    def is_on_trial(self) -> bool:
        """The engine is asked what another one wrote before."""
        return bool(self._accused)

    @property
    def is_hopeless(self) -> bool:
        """Were the engine to die now, nothing would tell whose fault it is."""
        return self.is_on_trial or (bool(self._alone) and self.answered is None and not self._waiting)

    @property
    def is_bounded(self) -> bool:
        """Deaths are few from here on: a clip is found guilty, or an engine lost."""
        return bool(self) and self.answered is not None

    def after_death(self, asked: Sequence[Asked], reason: str) -> Sequence[Asked]:
        """What the next engine is to be asked at once, where the last one had `asked`."""
        assert not self.is_hopeless
        if self._alone and not asked:  # it failed, for another reason, before the engine died of what was left of it
            self._alone = ()
            return ()
        jobs = dict.fromkeys(each.job for each in asked)
        for job in jobs:
            job.deaths += 1
        if self._alone and self.answered is None:
            self._waiting.append(self._alone)
            self._alone = ()
            return ()
        if self._alone:
            self._accused, self._alone, self._reason = self._alone, (), reason
            self._accused[0].job.deaths_alone += 1
            return [Asked(self._trial, 0, self.answered)]
        if all(job.deaths == 1 for job in jobs):
            return asked
        self._waiting.extend([each for each in asked if each.job is job] for job in jobs)
        return ()

    def next(self) -> Sequence[Asked]:
        """What the idle engine is to be asked: the next suspect."""
        self._alone = self._waiting.popleft() if self._waiting else ()
        return self._alone

    def is_trial(self, answered: Asked) -> bool:
        """Whether that was what another engine wrote before, once more."""
        return answered.job is self._trial

    def verdict(self) -> tuple[Job, ClipError] | None:
        """The guilty clip, after its second trial; after its first it is asked again."""
        accused, self._accused = self._accused, ()
        job = accused[0].job
        if job.deaths_alone == 1:
            self._waiting.appendleft(accused)
            return None
        message = f"the engine died whenever it had this clip, at last with no other beside it ({self._reason})"
        return job, ClipError("caption", "engine_died", message)
