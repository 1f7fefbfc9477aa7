from __future__ import annotations

import threading
import time
from types import SimpleNamespace

from recap.engines import watchdog as home
from recap.engines.watchdog import Watchdog


def test_a_block_that_does_not_end_is_noticed_once():
    stalls, noticed = [], threading.Event()
    watchdog = Watchdog(0.05, lambda: (stalls.append(time.monotonic()), noticed.set()))
    began = time.monotonic()
    with watchdog:
        assert noticed.wait(5)
        time.sleep(0.15)
    assert len(stalls) == 1 and stalls[0] - began > 0.05


def test_pauses_and_short_blocks_are_no_stalls(monkeypatch):
    stalls, clock = [], SimpleNamespace(now=0.0)
    monkeypatch.setattr(home, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def pass_by(seconds):
        clock.now += seconds
        time.sleep(0.1)  # the watchdog looks at the clock meanwhile

    watchdog = Watchdog(0.2, lambda: stalls.append(1))
    for _ in range(4):
        with watchdog:
            pass_by(0.15)
        pass_by(60)
    watchdog.close()
    with watchdog:
        pass_by(60)
    assert not stalls


def test_a_long_patience_is_overdrawn_by_a_second_at_most(monkeypatch):
    noticed = threading.Event()
    watchdog = Watchdog(60, noticed.set)
    with watchdog:
        monkeypatch.setattr(home, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 61))
        assert noticed.wait(5)
