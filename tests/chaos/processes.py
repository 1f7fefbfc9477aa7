"""The processes of a run: everything in the session that it was started in, whoever its parents were."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

MARKS = {
    "caption actor": "MapBatches(_Caption)",
    "decode actor": "MapBatches(_Decode)",
    "decoder child": "recap.video.sandbox.child",
    "raylet": "raylet/raylet",
    "head": "gcs/gcs_server",
}
CHILD = MARKS["decoder child"]
CHILD_GONE_S, ALL_GONE_S = 5, 120


def processes_of(session: int, mark: str = "") -> list[psutil.Process]:
    """What still lives in a session and has `mark` in its command line."""
    alive = []
    for pid in psutil.pids():
        try:
            process = psutil.Process(pid)
            if os.getsid(pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                alive += [process] if mark in " ".join(process.cmdline()) else []
        except (OSError, psutil.Error):
            continue
    return alive


def wait_until_gone(session: int, mark: str, seconds: float) -> None:
    """Processes of `session` with `mark` in their command line must end within `seconds`."""
    deadline = time.monotonic() + seconds
    while (left := processes_of(session, mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, left


def shared_memory() -> set[str]:
    """Names in /dev/shm that no living process has mapped: what somebody left behind."""
    names = {f"/dev/shm/{name}" for name in os.listdir("/dev/shm")}
    for maps in Path("/proc").glob("[0-9]*/maps") if names else ():
        try:
            names -= {line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines() if "/dev/shm/" in line}
        except OSError:
            continue
    return names
