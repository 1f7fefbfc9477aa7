"""`kill -9` of the driver half-way, then the same command again: the same bytes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(400)]


def command(output: Path, *overrides: str) -> list[str]:
    recap = Path(sys.executable).with_name("recap")
    return [str(recap), "run", "pipelines/demo.yaml", f"output.path={output}", *overrides]


def kill_once_something_is_committed(process: subprocess.Popen, output: Path) -> None:
    while not list(output.glob("fragments/*/*.parquet")):
        assert process.poll() is None, "the run ended before anything was committed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_killed_driver_loses_nothing_and_doubles_nothing(tmp_path, home, deliverable, accounts, runs):
    subprocess.run(command(tmp_path / "whole"), cwd=home, check=True, capture_output=True)
    overrides = ("output.commit_every_s=0.05", "engine.batch_size=1", "engine.in_flight=24")
    run = command(tmp_path / "killed", *overrides)
    process = subprocess.Popen(run, cwd=home, stderr=subprocess.DEVNULL, start_new_session=True)
    kill_once_something_is_committed(process, tmp_path / "killed")
    runs.ended(process)
    assert not (tmp_path / "killed" / "manifest.json").exists()

    again = subprocess.run(command(tmp_path / "killed"), cwd=home, check=True, capture_output=True, text=True)
    assert "done before" in again.stderr, "the second run began from nothing"
    assert deliverable(tmp_path / "killed") == deliverable(tmp_path / "whole")
    accounts.add("kill -9 of the driver", "the next run goes on", tmp_path / "killed")
