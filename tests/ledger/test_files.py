from __future__ import annotations

import pytest

from recap import ledger


def test_nothing_half_written_is_left_behind(tmp_path):
    def fail(aside):
        aside.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        ledger.files.write_atomically(tmp_path / "x.json", fail)
    assert list(tmp_path.iterdir()) == []
