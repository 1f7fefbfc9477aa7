from __future__ import annotations

import os

import pytest

from recap.storage import write_atomically


def test_nothing_half_written_is_left_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(tmp_path / "x.json", b"half")
    assert list(tmp_path.iterdir()) == []
