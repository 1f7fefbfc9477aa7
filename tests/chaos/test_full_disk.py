"""A disk that is full or broken: the run says so, what it committed is sound, and the next run goes on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.ray, pytest.mark.timeout(280)]
FILL = 64 * 1024


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes; skips where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """Leave a few tens of kilobytes free."""
    ballast = place / "ballast"
    free = shutil.disk_usage(place).free
    ballast.write_bytes(b"0" * (free - FILL))
    return ballast


def test_a_full_disk_ends_the_run_with_a_message_and_the_next_one_goes_on(
    small_disk, pipeline, finish, recap_on, whole_of, deliverable, accounts
):
    output = f"output.path={small_disk / 'out'}"
    ballast = fill(small_disk)
    full = subprocess.run(recap_on("ray", "run", pipeline, output), capture_output=True, text=True)
    assert full.returncode == 3 and "No space left on device; make room" in full.stderr, full.stderr
    assert "Traceback" not in full.stderr
    ballast.unlink()
    finish("loop", pipeline, output)
    assert deliverable(small_disk / "out") == whole_of(300)
    accounts.add("disk full (ENOSPC)", "the run ends with a message, the next one goes on", small_disk / "out")


def test_and_so_does_a_broken_one(start, finish, pipeline, tmp_path, faulty, whole_of, deliverable, accounts):
    process = start("ray", pipeline, **faulty, RECAP_FAULT=f"breaks@fragments:{tmp_path / 'flag'}")
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 3 and "Input/output error; make room" in said and "Traceback" not in said, said
    finish("loop", pipeline)
    assert deliverable(tmp_path / "out") == whole_of(300)
    accounts.add("disk broken (EIO)", "the run ends with a message, the next one goes on", tmp_path / "out")
