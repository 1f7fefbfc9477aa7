from __future__ import annotations

import errno
import os

import pytest

from recap import ledger
from recap.storage import write_atomically


def test_nothing_half_written_is_left_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(tmp_path / "x.json", b"half")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ENOSPC", "EIO", "ESTALE", "ENOTCONN", "ETIMEDOUT", "EREMOTEIO", "ENODEV", "ENXIO"])
def test_a_disk_that_is_full_broken_or_out_of_reach_ends_a_run_in_words(name):
    with pytest.raises(ledger.OutputFailed, match="nothing more can be written"), ledger.output_errors():
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))


def test_a_full_disk_says_which(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ledger.OutputFailed, match=r"to .*/x\.json: No space"), ledger.output_errors():
        write_atomically(tmp_path / "x.json", b"half")


@pytest.mark.parametrize("name", ["EACCES", "EPERM", "ENOENT", "EMFILE"])
def test_what_may_be_the_error_of_another_file_is_not_the_outputs(name):
    with pytest.raises(OSError, match=os.strerror(getattr(errno, name))), ledger.output_errors():
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))


def test_a_run_sweeps_what_runs_left_and_not_what_another_command_is_writing(tmp_path):
    left = (
        ".manifest.json.7.tmp",
        "report/.report.json.7.tmp",
        "fragments/k/.000001-x-000000.parquet.7.tmp",
        "shards/.x.7.tmp",
        ".token-1",
    )
    others = (".captions.csv.7.tmp", "report/.index.html.7.tmp", "sheets/.s.png.7.tmp")
    for name in left + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    ledger.sweep(tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == {*others}
