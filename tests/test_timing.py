from __future__ import annotations

import time

import pytest

from recap.timing import Calibration, Timing, together

NAP_S = 0.05


def test_phases_are_booked_with_their_seconds_and_core_seconds():
    timing = Timing("caption")
    with timing.phase("waiting"):
        time.sleep(NAP_S)
    with timing.phase("computing"):
        start = time.process_time()
        while time.process_time() < start + NAP_S:
            pass
    spent = timing.spent()
    assert spent.seconds["waiting"] >= NAP_S > spent.core_seconds["waiting"]
    assert spent.core_seconds["computing"] >= NAP_S
    assert spent.alive_s >= sum(spent.seconds.values()) > 0


def test_what_has_begun_counts_up_to_now_and_only_once():
    timing = Timing("decode")
    timing.begin("waiting")
    time.sleep(NAP_S)
    first = timing.spent().seconds["waiting"]
    timing.end("waiting")
    timing.end("waiting")
    assert NAP_S <= first <= timing.spent().seconds["waiting"] < 2 * NAP_S


def test_core_seconds_of_helpers_are_counted():
    taken = iter((1.0, 4.0))
    timing = Timing("decode", lambda: next(taken))
    with timing.phase("decoding"):
        pass
    assert timing.spent().core_seconds["decoding"] == pytest.approx(3.0, abs=0.05)


def test_what_is_off_the_books_never_happened():
    timing = Timing("caption")
    timing.begin("waiting")
    time.sleep(NAP_S)
    with timing.off_the_books():
        timing.counts["clips"] += 1
        with timing.phase("vision"):
            time.sleep(NAP_S)
    spent = timing.spent()
    assert "vision" not in spent.seconds and not spent.counts
    assert NAP_S <= spent.seconds["waiting"] < 2 * NAP_S
    assert NAP_S <= spent.alive_s < 2 * NAP_S


def test_the_books_of_a_role_are_summed():
    calibration = Calibration(4, 2.0, 1.5, 2.5)
    workers = [Timing("caption"), Timing("caption"), Timing("decode")]
    for worker in workers:
        worker.counts["clips"] = 3
    whole = together("caption", [worker.spent(calibration) for worker in workers])
    assert (whole.workers, whole.counts, whole.calibrations) == (2, {"clips": 6}, (calibration, calibration))
