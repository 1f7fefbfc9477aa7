"""What is wrong with a manifest, in terms of its file: read once more, by which only what is refused is slowed down."""

from __future__ import annotations

import re
from itertools import islice

from recap.corpus.csv_text import csv_fault, csv_rows
from recap.corpus.json_text import json_fault, json_rows
from recap.storage import Location, read_bytes

_UTF16 = b"\xff\xfe", b"\xfe\xff"
_NEAR = 16  # bytes shown on either side of what is no text
_MARK = "\ufeff"  # that some editors put before UTF-8
_READERS_ROW = re.compile(r" in row \d+$")  # counted from the block that was read


def why_unreadable(path: Location, error: Exception) -> str:
    """Why no table could be read from `path`, when its reader raised `error`."""
    reason = _READERS_ROW.sub("", str(error))
    if isinstance(error, OSError) or path.suffix.lower() == ".parquet":
        return reason
    data = read_bytes(path)
    if fault := _encoding_fault(data):
        return fault
    text = data.decode().removeprefix(_MARK)
    fault = csv_fault(text) if path.suffix.lower() == ".csv" else json_fault(text, reason)
    return fault or reason


def place_of(path: Location, row: int) -> str:
    """Where the `row`-th row (from 0) of a manifest that could be read is: a line of the file, where it has lines."""
    if path.suffix.lower() == ".parquet":
        return f"row {row + 1}"
    text = read_bytes(path).decode().removeprefix(_MARK)
    rows = islice(csv_rows(text), 1, None) if path.suffix.lower() == ".csv" else json_rows(text)
    found = next(islice(rows, row, None), None)
    return f"line {found[0]}" if found else f"row {row + 1}"


def _encoding_fault(data: bytes) -> str | None:
    if data[:2] in _UTF16:
        return "it is UTF-16: save it as UTF-8"
    try:
        data.decode()
    except UnicodeDecodeError as error:
        begins, line = data.rfind(b"\n", 0, error.start) + 1, data.count(b"\n", 0, error.start) + 1
        near = data[max(begins, error.start - _NEAR) : error.start + _NEAR].partition(b"\n")[0]
        return f"line {line} is not UTF-8 ({near.decode(errors='backslashreplace')}): save it as UTF-8"
    return None
