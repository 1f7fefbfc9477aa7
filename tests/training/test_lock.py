from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from recap.training.lock import sole_training

TAKE = """
import sys
from pathlib import Path
from recap.training.lock import sole_training
with sole_training(Path(sys.argv[1])):
    print("held", flush=True)
    input()
"""


def test_a_second_training_is_refused_until_the_first_is_gone(tmp_path):
    command = [sys.executable, "-c", TAKE, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="another training is writing to"), sole_training(tmp_path / "out"):
            pass
        first.kill()
    with sole_training(tmp_path / "out"):
        pass


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_an_output_that_is_no_folder_is_refused(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"output\.path: cannot write to"), sole_training(tmp_path / place):
        pass


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(ValueError, match=r"nothing can be locked .* \(No locks available\)"), sole_training(tmp_path):
        pass
