"""SIGTERM and Ctrl-C: what is in flight is committed, the books close as a stopped run's, the next run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from recap.verification import verify

from .processes import processes_of

pytestmark = [pytest.mark.timeout(280)]
ROWS = 300


def to_driver(process: subprocess.Popen, number: int) -> None:
    process.send_signal(number)


def to_group(process: subprocess.Popen, number: int) -> None:
    """As a terminal does on Ctrl-C, and `kill -- -PGID`."""
    os.killpg(process.pid, number)


def to_all(process: subprocess.Popen, number: int) -> None:
    """As systemd does with its KillMode=control-group."""
    for each in processes_of(process.pid):
        try:
            each.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def on_ray(number: int, send):
    return pytest.param("ray", number, send, marks=[pytest.mark.ray, pytest.mark.long])


@pytest.mark.parametrize(
    ("runner", "number", "send"),
    [
        ("loop", signal.SIGTERM, to_driver),
        pytest.param("loop", signal.SIGINT, to_driver, marks=[pytest.mark.long]),
        on_ray(signal.SIGTERM, to_driver),
        on_ray(signal.SIGTERM, to_group),
        on_ray(signal.SIGTERM, to_all),
        on_ray(signal.SIGINT, to_group),
    ],
)
def test_a_signal_stops_a_run_in_order_and_the_next_one_goes_on(
    start, finish, pipeline, whole_of, tmp_path, runner, number, send, wait_for_a_commit, deliverable, accounts
):
    process = start(runner, pipeline)
    wait_for_a_commit(process, tmp_path / "out")
    send(process, number)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 128 + number, said
    assert "once more to end at once" in said and "clips remaining" in said and "Traceback" not in said
    books = json.loads((tmp_path / "out/manifest.json").read_text())["reconciliation"]
    assert 0 < books["captioned"] < ROWS and books["captioned"] + books["remaining"] == books["clips"] == ROWS
    assert verify(tmp_path / "out") == [] and not (tmp_path / "out/lease.json").exists()

    assert f"{books['captioned']} done before" in finish("loop", pipeline)
    assert deliverable(tmp_path / "out") == whole_of(ROWS)
    name = f"{signal.Signals(number).name} {send.__name__.replace('_', ' ')} ({runner})"
    accounts.add(name, "drained and stopped, the next run goes on", tmp_path / "out")


@pytest.mark.ray
@pytest.mark.long
def test_nothing_is_waited_for_while_a_model_is_loading(start, finish, pipeline, faulty, tmp_path, wait_for):
    process = start("ray", pipeline, **faulty, RECAP_FAULT=f"stalls@opening:{tmp_path}/flag:1")
    wait_for((tmp_path / "flag-0").exists, 100)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 143 and time.monotonic() - asked < 15, said
    assert "300 clips remaining" in said and "were not enough" not in said and "Traceback" not in said
    assert verify(tmp_path / "out") == []


def wait_for_the_graph(output: Path, seconds: float) -> None:
    deadline = time.monotonic() + 100
    while not (output / "snapshot").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(seconds)


def test_a_second_signal_ends_at_once_and_harms_nothing(start, finish, pipeline, tmp_path):
    process = start("loop", pipeline, "engine.batch_size=300")  # one long batch: the first signal cannot end it
    wait_for_the_graph(tmp_path / "out", 1.5)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)  # an echo of the first
    time.sleep(1.0)
    assert process.poll() is None
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and time.monotonic() - asked < 5, said
    assert "ending at once" in said and "Traceback" not in said
    finish("loop", pipeline)
    assert verify(tmp_path / "out") == []


def test_the_grace_period_has_an_end(start, pipeline, tmp_path):
    process = start("loop", pipeline, "engine.batch_size=300", "output.grace_s=0.2")
    wait_for_the_graph(tmp_path / "out", 1.0)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 143 and "were not enough" in said, said
    assert verify(tmp_path / "out") == []
