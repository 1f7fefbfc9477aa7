"""Nothing depends on the time: not on the clock, which runs backwards here, and not on any file's."""

from __future__ import annotations

import os
import random
import time
from itertools import count
from pathlib import Path

import pytest

from recap import jobs
from recap.report.progress import Progress
from recap.status import status


class Killed(BaseException):
    """Stands for a driver that dies."""


class DiesAfter(Progress):
    """Dies when so many clips are done."""

    def __init__(self, clips: int):
        super().__init__()
        self.left = clips

    def add(self, *_, **__) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


def scatter_times(output: Path, wild: random.Random) -> None:
    """Give every file below `output` some time between 1970 and 2100."""
    for path in output.rglob("*"):
        os.utime(path, (wild.uniform(0, 4.1e9),) * 2)


def test_a_clock_that_runs_backwards_and_files_of_any_age_change_nothing(
    rehearsal, tmp_path, monkeypatch, deliverable, accounts
):
    small = ("output.commit_every_s=0.001", "engine.batch_size=1")
    jobs.run(rehearsal(f"output.path={tmp_path / 'whole'}", *small), runner="loop")
    past, wild = count(), random.Random(0)
    monkeypatch.setattr(time, "time", lambda: 2e9 - 3600 * next(past))
    monkeypatch.setattr(time, "time_ns", lambda: int(time.time() * 1e9))
    for _ in range(3):
        with pytest.raises(Killed):
            jobs.run(rehearsal(*small), runner="loop", progress=DiesAfter(1))
        scatter_times(tmp_path / "out", wild)
        assert status(tmp_path / "out").last_commit_s >= 0
    assert jobs.run(rehearsal(*small), runner="loop").complete
    assert next(past) > 0, "nobody asked for the time"
    assert deliverable(tmp_path / "out") == deliverable(tmp_path / "whole")
    accounts.add("clock set back, file times scattered", "the next run goes on", tmp_path / "out", 3)
