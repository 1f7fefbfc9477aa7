from __future__ import annotations

import errno
import gc
import os
import tempfile
from functools import partial

import pyarrow as pa
import pytest

from recap.storage import spilled

SCHEMA = pa.schema([("name", pa.string()), ("score", pa.list_(pa.float64()))])


def table(first: int, rows: int) -> pa.Table:
    numbers = range(first, first + rows)
    names = [None if number % 7 == 0 else f"n{number}" for number in numbers]
    return pa.table({"name": names, "score": [[number] for number in numbers]}, SCHEMA)


@pytest.mark.parametrize("sizes", [[], [0], [3], [1000, 0, 1, 5000]])
def test_rows_come_back_in_order(sizes):
    tables = [table(1000 * place, rows) for place, rows in enumerate(sizes)]
    assert spilled(SCHEMA, iter(tables)) == pa.concat_tables([SCHEMA.empty_table(), *tables])


def test_rows_take_no_memory_and_leave_no_file(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = pa.total_allocated_bytes()
    rows = spilled(SCHEMA, (table(n, 1000) for n in range(50)))
    gc.collect()
    assert rows.nbytes > 900_000 and pa.total_allocated_bytes() - before < 100_000
    assert rows["name"][-1].as_py() == "n1048" and not os.listdir(tmp_path)


def test_a_full_disk_is_told_with_a_way_out(monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "wb"))
    with pytest.raises(ValueError, match=r"no room in .* for the list of clips.*No space.* set TMPDIR to a folder"):
        spilled(SCHEMA, [table(0, 1)])


def test_a_machine_without_a_temporary_folder_is_told_what_to_set(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"needs a temporary file .*none.*: set TMPDIR"):
        spilled(SCHEMA, [])


def test_another_error_of_the_disk_stays_what_it_is():
    def tables():
        yield table(0, 1)
        raise OSError(errno.EIO, "lost")

    with pytest.raises(OSError, match="lost"):
        spilled(SCHEMA, tables())
