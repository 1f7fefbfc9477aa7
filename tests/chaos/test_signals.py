"""SIGTERM and Ctrl-C: what is in flight is committed, the books close as a stopped run's, the next run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from recap.verification import verify

pytestmark = [pytest.mark.timeout(280)]
ROWS = 300


@pytest.fixture
def start(recap_on):
    """A function that starts `recap run` in a session of its own."""
    options = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True, "start_new_session": True}
    return lambda runner, *arguments: subprocess.Popen(recap_on(runner, "run", *arguments), **options)


def wait_for_a_commit(process: subprocess.Popen, output: Path) -> None:
    while not list(output.glob("fragments/*/*.parquet")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("runner", "number"),
    [
        ("loop", signal.SIGTERM),
        ("loop", signal.SIGINT),
        pytest.param("ray", signal.SIGTERM, marks=pytest.mark.ray),
        pytest.param("ray", signal.SIGINT, marks=pytest.mark.ray),
    ],
)
def test_a_signal_stops_a_run_in_order_and_the_next_one_goes_on(start, pipeline, tmp_path, runner, number, deliverable):
    process = start(runner, pipeline)
    wait_for_a_commit(process, tmp_path / "out")
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: Ray's processes get it too
    else:
        process.send_signal(number)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 128 + number, said
    assert "once more to end at once" in said and "clips remaining" in said and "Traceback" not in said
    books = json.loads((tmp_path / "out/manifest.json").read_text())["reconciliation"]
    assert 0 < books["captioned"] < ROWS and books["captioned"] + books["remaining"] == books["clips"] == ROWS
    assert verify(tmp_path / "out") == [] and not (tmp_path / "out/lease.json").exists()

    again = start("loop", pipeline)
    assert f"{books['captioned']} done before" in again.communicate(timeout=120)[1] and again.returncode == 0
    whole = start("loop", pipeline, f"output.path={tmp_path / 'whole'}")
    whole.communicate(timeout=120)
    assert deliverable(tmp_path / "out") == deliverable(tmp_path / "whole")


def test_a_second_signal_ends_at_once_and_harms_nothing(start, pipeline, tmp_path):
    process = start("loop", pipeline, "engine.batch_size=300")  # one long batch: the first signal cannot end it
    deadline = time.monotonic() + 100
    while not (tmp_path / "out/snapshot").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and time.monotonic() - asked < 5, said
    assert "ending at once" in said and "Traceback" not in said
    again = start("loop", pipeline)
    again.communicate(timeout=120)
    assert again.returncode == 0 and verify(tmp_path / "out") == []


def test_the_grace_period_has_an_end(start, pipeline, tmp_path):
    process = start("loop", pipeline, "engine.batch_size=300", "output.grace_s=0.2")
    deadline = time.monotonic() + 100
    while not (tmp_path / "out/snapshot").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 143 and "were not enough" in said, said
    assert verify(tmp_path / "out") == []
