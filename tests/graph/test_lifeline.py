"""Workers end when they are to, whatever Ray's own way out does."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is Linux's kernel and C library that are asked")

ENDS = """
import atexit, ctypes, sys
from recap.graph.lifeline import end_surely
library = ctypes.CDLL(None)
library.on_exit(library.pause, None)  # what hangs on the way out
end_surely()
atexit.register(print, "said goodbye")
sys.exit(3)
"""
OUTLIVES = """
import os, signal, time
from recap.graph.lifeline import end_surely
reading, writing = os.pipe()
if not (parent := os.fork()):
    if not os.fork():
        os.close(reading)
        end_surely()
        os.write(writing, b"x")
        time.sleep(60)
    time.sleep(60)
os.read(reading, 1)
os.close(writing)
os.kill(parent, signal.SIGKILL)
print("gone" if os.read(reading, 1) == b"" else "there")
"""


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)


def test_nothing_holds_a_worker_back_that_has_ended():
    done = run(ENDS)
    assert (done.returncode, done.stdout, done.stderr) == (3, "said goodbye\n", "")


def test_a_worker_ends_with_its_raylet():
    done = run(OUTLIVES)
    assert (done.returncode, done.stdout, done.stderr) == (0, "gone\n", "")
