from __future__ import annotations

import subprocess
import sys

import pytest

from recap import ledger

HOLD = """
import sys
from pathlib import Path
from recap import ledger
with ledger.lease(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_writer_at_a_time_and_every_run_has_its_epoch(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="another run"), ledger.lease(tmp_path):
            pass
        other.kill()
    with ledger.lease(tmp_path) as epoch:
        assert epoch == 2


def test_an_output_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot write"), ledger.lease(tmp_path / "file" / "out"):
        pass
