"""What a worker's time went into: seconds and core-seconds by phase, and counts. Stdlib only."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal

Role = Literal["decode", "caption"]
WAITS: dict[Role, str] = {"decode": "waiting_for_engine", "caption": "waiting_for_frames"}


@dataclass(frozen=True)
class Calibration:
    """An engine alone with its machine: what some clips took of wall time and of its process's cores, in seconds.

    `took_s` is of all that there was to it.
    """

    clips: int
    seconds: float
    core_seconds: float
    took_s: float

    @property
    def clip_s(self) -> float:
        """Seconds a clip."""
        return self.seconds / self.clips

    @property
    def clip_core_s(self) -> float:
        """Core-seconds a clip."""
        return self.core_seconds / self.clips


@dataclass(frozen=True)
class Spent:
    """A worker's books, or several workers' together; `alive_s` is from their start to their last entry, in seconds."""

    role: Role
    workers: int
    alive_s: float
    seconds: dict[str, float]
    core_seconds: dict[str, float]
    counts: dict[str, int]
    calibrations: tuple[Calibration, ...] = ()

    def and_waited(self, seconds: float) -> Spent:
        """The books of a worker that has waited for so long since."""
        waits = WAITS[self.role]
        waited = self.seconds | {waits: self.seconds.get(waits, 0.0) + seconds}
        return replace(self, alive_s=self.alive_s + seconds, seconds=waited)


class Timing:
    """Keeps one worker's books. Threads may use it together as long as each has phases of its own.

    `helpers_core_s` tells the core-seconds so far of processes that work for this one.
    """

    def __init__(self, role: Role, helpers_core_s: Callable[[], float] = float):
        self.role, self._helpers_core_s = role, helpers_core_s
        self.counts: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()
        self._core_seconds: Counter[str] = Counter()
        self._open: dict[str, tuple[float, float]] = {}
        self._started = time.monotonic()
        self._lock = Lock()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Book what happens inside under `name`."""
        self.begin(name)
        try:
            yield
        finally:
            self.end(name)

    def begin(self, name: str) -> None:
        """From now on time is booked under `name`."""
        with self._lock:
            assert name not in self._open, name
            self._open[name] = self._now()

    def end(self, name: str) -> None:
        """No longer; nothing happens where it has not begun."""
        with self._lock:
            if name in self._open:
                self._book(name)
                del self._open[name]

    def spent(self, *calibrations: Calibration) -> Spent:
        """The books as they are now, what has begun included."""
        with self._lock:
            self._book_open()
            books = (dict(each) for each in (self._seconds, self._core_seconds, self.counts))
            return Spent(self.role, 1, time.monotonic() - self._started, *books, calibrations)

    @contextmanager
    def off_the_books(self) -> Iterator[None]:
        """What happens inside never happened."""
        with self._lock:
            self._book_open()
            start, kept = time.monotonic(), [each.copy() for each in (self._seconds, self._core_seconds, self.counts)]
        try:
            yield
        finally:
            with self._lock:
                self._open = dict.fromkeys(self._open, self._now())
                self._started += time.monotonic() - start
                self._seconds, self._core_seconds, self.counts = kept

    def _book_open(self) -> None:
        for name in self._open:
            self._book(name)

    def _book(self, name: str) -> None:
        before, self._open[name] = self._open[name], self._now()
        for books, start, now in zip((self._seconds, self._core_seconds), before, self._open[name], strict=True):
            books[name] += now - start

    def _now(self) -> tuple[float, float]:
        return time.monotonic(), time.process_time() + self._helpers_core_s()


def together(role: Role, spents: Iterable[Spent]) -> Spent:
    """One sum of the books of every worker in that role."""
    mine = [spent for spent in spents if spent.role == role]
    sums = (sum((Counter(each) for each in column), Counter()) for column in _columns(mine))
    calibrations = tuple(each for spent in mine for each in spent.calibrations)
    workers, alive_s = sum(spent.workers for spent in mine), sum(spent.alive_s for spent in mine)
    return Spent(role, workers, alive_s, *map(dict, sums), calibrations)


def _columns(spents: list[Spent]) -> Iterator[list[dict]]:
    for name in ("seconds", "core_seconds", "counts"):
        yield [getattr(spent, name) for spent in spents]
