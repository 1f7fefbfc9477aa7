from __future__ import annotations

import subprocess
import sys

import pytest

WORKER = """
import ctypes, os, sys
from pathlib import Path
from recap.graph.crashes import note_crashes
print(note_crashes(Path(sys.argv[1]), sys.argv[2]), flush=True)
exec(sys.argv[3])
"""
CRASH, KILL, END = "ctypes.string_at(0)", "os.kill(os.getpid(), 9)", "pass"


def worker(path, name: str, does: str) -> str:
    return subprocess.run([sys.executable, "-c", WORKER, str(path), name, does], stdout=subprocess.PIPE).stdout.decode()


@pytest.mark.parametrize(("does", "told"), [(CRASH, "first"), (KILL, "None"), (END, "None"), ("os.abort()", "first")])
def test_a_crash_is_told_to_the_next_and_a_kill_is_not(tmp_path, does, told):
    assert worker(tmp_path / "note", "first", does) == "None\n"
    assert worker(tmp_path / "note", "second", END) == f"{told}\n"
    assert worker(tmp_path / "note", "third", END) == "None\n"
