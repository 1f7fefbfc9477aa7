from __future__ import annotations

import errno
import gc
import os
import tempfile
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from recap import delivery
from recap.ledger import OutputFailed, output_errors
from recap.review import near_duplicates
from recap.storage import spilled, spilled_zeros

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
    with pytest.raises(ValueError, match=r"must be a temporary file for the list of clips.*none.*: set TMPDIR"):
        spilled(SCHEMA, [])


def test_an_array_may_be_written_to_and_leaves_no_file(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    array = spilled_zeros((1000, 64), np.uint16, "signatures")
    assert (array.shape, array.dtype, array.any()) == ((1000, 64), np.uint16, False)
    array[1:3] = 7
    assert array.sum() == 2 * 64 * 7 and not os.listdir(tmp_path)
    assert spilled_zeros((0, 64), np.uint16, "signatures").shape == (0, 64)


def test_room_for_an_array_is_taken_at_once_and_a_full_disk_is_none_of_the_settings_mistakes(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    said = rf"to {tmp_path}: .*, for signatures \(TMPDIR may name a folder on another disk\)"
    with pytest.raises(OutputFailed, match=said), output_errors():
        spilled_zeros((1 << 50, 1 << 10), np.uint8, "signatures")


def test_the_search_for_near_duplicates_writes_where_it_is_told(monkeypatch):
    rooms = []

    def room(shape, kind):
        rooms.append(delivery.SIGNATURES(shape, kind))
        return rooms[-1]

    assert near_duplicates(["a red cat sits", "a red cat sits"], 0.8, 5, room).tolist() == [-1, 0]
    (signatures,) = rooms
    assert signatures[:2].all() and not signatures[2:].any() and not signatures.flags.owndata


def test_another_error_of_the_disk_stays_what_it_is():
    def tables():
        yield table(0, 1)
        raise OSError(errno.EIO, "lost")

    with pytest.raises(OSError, match="lost"):
        spilled(SCHEMA, tables())
