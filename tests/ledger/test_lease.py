from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from threading import Timer

import pytest

from recap import ledger

HOLD = """
import sys
from threading import Timer
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
        with pytest.raises(ValueError, match=r"another run \(pid \d+ on .*\) is writing"), ledger.lease(tmp_path):
            pass
        other.kill()
    with ledger.lease(tmp_path) as epoch:
        assert epoch == 2


def test_an_output_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot write"), ledger.lease(tmp_path / "file" / "out"):
        pass


def test_a_dead_runs_lease_is_told_from_a_held_one_and_from_a_free_one(tmp_path):
    assert ledger.holder(tmp_path) == (None, False)
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        other.stdout.readline()
        who, is_held = ledger.holder(tmp_path)
        assert (who.pid, who.epoch, is_held) == (other.pid, 1, True)
        other.kill()
    assert ledger.holder(tmp_path) == (who, False)
    with ledger.lease(tmp_path):
        assert ledger.holder(tmp_path)[0].epoch == 2
    assert ledger.holder(tmp_path) == (None, False)


def test_a_file_system_without_locks_is_refused_and_can_be_looked_at(tmp_path, monkeypatch):
    def refuses(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuses)
    with pytest.raises(ValueError, match=r"nothing can be locked in .* \(No locks available\)"), ledger.lease(tmp_path):
        pass
    assert ledger.holder(tmp_path) == (None, False)


def test_a_glance_at_the_lease_keeps_nobody_out(tmp_path):
    with ledger.lease(tmp_path):
        pass
    with open(tmp_path / "lease.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        Timer(0.3, lambda: fcntl.flock(lock, fcntl.LOCK_UN)).start()
        with ledger.lease(tmp_path) as epoch:
            assert epoch == 2


@pytest.mark.parametrize("lock", [None, b"", b"junk\n", b"\0" * 7, b"-5\n", b"000003\njunk"])
def test_a_lost_or_damaged_lock_gives_no_epoch_twice(output, lock):
    output.see("a")
    output.commit(7, "x", output.caption("a"))
    if lock is not None:
        (output.path / "lease.lock").write_bytes(lock)
    with ledger.lease(output.path) as epoch:
        assert epoch == 8
    with ledger.lease(output.path) as epoch:
        assert epoch == 9


def test_overlays_too_tell_which_epochs_there_were(output):
    ledger.write_retry(output.path / "overlays/tk", 7, output.scanned("a"))
    with ledger.lease(output.path) as epoch:
        assert epoch == 8
