"""What a run shows while it works: bars on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from recap.records import CAPTIONED, QUARANTINED, STATUSES
from recap.report.listing import pace

BURST_S = 1.0  # an engine may answer for many clips at once


class Progress:
    """Counts clips as they are decoded and done. Everything goes to stderr."""

    def __init__(self, console: Console | None = None, every_s: float = 5.0):
        self.console = console or Console(stderr=True)
        self.every_s = every_s
        self.counts: Counter[str] = Counter()
        self.total = self.decoded = 0
        self._first_s, self._first = 0.0, 0  # when the first clips were done, and how many they were
        self._to_translate, self._translated, self._language = 0, 0, ""
        self._started = self._last_line = time.monotonic()
        self._bars = self._new_bars() if self.console.is_interactive else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_) -> None:
        if self._bars is not None:
            self._bars.stop()

    def start(self, total: int, done: Mapping[str, int]) -> None:
        """`total` clips are to be done now; `done` counts those of earlier runs per status."""
        self.total, self.decoded = total, 0
        self.counts.clear()
        self._started = self._last_line = time.monotonic()
        already = sum(done.values())
        self.console.print(f"{_clips(total)} to caption" + (f", {already} done before" if already else ""))
        if self._bars is not None:
            for task in self._bars.task_ids:
                self._bars.remove_task(task)
            self._tasks = [self._bars.add_task(name, total=total, note="") for name in ("decode", "caption")]
            self._bars.start()

    def listed(self, clips: int) -> None:
        """So many clips of the corpus are known so far."""
        self.far("listing the corpus", clips)

    def far(self, doing: str, clips: int, of: int = 0) -> None:
        """What a run does before or behind its bars has come to so many clips; said every few seconds."""
        if time.monotonic() - self._last_line >= self.every_s:
            self._last_line = time.monotonic()
            line = f"{doing}: {clips}/{of} clips" if of else f"{doing}: {_clips(clips)} so far"
            self.console.print(line, highlight=False, soft_wrap=True)

    def set_decoded(self, clips: int) -> None:
        """How many clips of this run have been decoded so far."""
        self.decoded = clips
        self._show()

    def add(self, status: str) -> None:
        """One more clip is done."""
        self.counts[status] += 1
        if self.done == 1 or time.monotonic() - self._first_s < BURST_S:
            self._first_s, self._first = (time.monotonic() if self.done == 1 else self._first_s), self.done
        self._show()

    @property
    def done(self) -> int:
        return sum(self.counts[status] for status in STATUSES)

    def start_translating(self, total: int, language: str) -> None:
        """`total` clips' captions are to be put into `language`."""
        self._to_translate, self._translated, self._language = total, 0, language
        self.console.print(f"{_clips(total)} to translate into {language}")

    def add_translated(self, clips: int) -> None:
        """So many more clips have their translation."""
        self._translated += clips
        if time.monotonic() - self._last_line >= self.every_s or self._translated == self._to_translate:
            self._last_line = time.monotonic()
            line = f"translated {self._translated}/{self._to_translate} into {self._language}"
            self.console.print(line, highlight=False, soft_wrap=True)

    def _show(self) -> None:
        if self._bars is not None:
            note = f"{pace(self._rate())} clips/s, {self.counts[QUARANTINED]} quarantined"
            self._bars.update(self._tasks[0], completed=max(self.decoded, self.done))
            self._bars.update(self._tasks[1], completed=self.done, note=note)
        elif time.monotonic() - self._last_line >= self.every_s or self.done == self.total:
            self._last_line = time.monotonic()
            self.console.print(self._line(), highlight=False, soft_wrap=True)

    def _line(self) -> str:
        rate, left = self._rate(), self.total - self.done
        is_known = rate and (self._is_warm() or not left)
        eta = f"{left / rate:.0f} s left" if is_known else "no estimate yet"
        return (
            f"decoded {max(self.decoded, self.done)}/{self.total}, captioned {self.counts[CAPTIONED]}, "
            f"quarantined {self.counts[QUARANTINED]}, {pace(rate)} clips/s, {eta}"
        )

    def _rate(self) -> float:
        """Clips a second, once that can be told those since the first ones came: before, models were loaded."""
        now = time.monotonic()
        since, before = (self._first_s, self._first) if self._is_warm() else (self._started, 0)
        return (self.done - before) / max(now - since, 1e-9)

    def _is_warm(self) -> bool:
        return self.done > self._first and time.monotonic() - self._first_s >= self.every_s

    def _new_bars(self) -> Bars:
        columns = (
            TextColumn("{task.description:8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        return Bars(*columns, console=self.console)


def _clips(number: int) -> str:
    return f"{number} clip{'s' * (number != 1)}"
