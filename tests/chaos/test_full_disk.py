"""A disk that really is full: the run says so, what it committed is sound, and the next run goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.timeout(280)]
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


def test_a_full_disk_ends_the_run_with_a_message_and_the_next_one_goes_on(small_disk, tmp_path, home, deliverable):
    clips = home / "pipelines/demo/clips/shapes"
    (tmp_path / "clips.csv").write_text(
        "path,start,end\n" + "".join(f"red-circle-right.mp4,{n / 1000},1.5\n" for n in range(200))
    )
    (tmp_path / "p.yaml").write_text(
        f"corpus: {{kind: manifest, path: {tmp_path / 'clips.csv'}, root: {clips}, "
        "start_column: start, end_column: end}\n"
        "engine: {kind: rehearsal, max_new_tokens: 12}\n"
        f"output: {{path: {small_disk / 'out'}, commit_every_s: 0.2}}\n"
    )
    run = [str(Path(sys.executable).with_name("recap")), "run", str(tmp_path / "p.yaml")]
    ballast = fill(small_disk)
    full = subprocess.run(run, capture_output=True, text=True)
    assert full.returncode == 3 and "No space left on device; make room" in full.stderr, full.stderr
    assert "Traceback" not in full.stderr
    ballast.unlink()
    assert subprocess.run(run, capture_output=True, text=True).returncode == 0
    subprocess.run([*run, f"output.path={tmp_path / 'whole'}"], check=True, capture_output=True)
    assert deliverable(small_disk / "out") == deliverable(tmp_path / "whole")
