"""What a csv looks like to who has it open: lines, and what is wrong with them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_LONGEST = 2**31 - 1
_OTHER_SEPARATORS = ";\t|"


def csv_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """The file line on which each row begins, the header's among them, and its fields; blank lines are no rows."""
    line = 1
    with _long_fields():
        reader = csv.reader(io.StringIO(text, newline=""))
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1


def quoting_fault(lines: Iterable[str]) -> str | None:
    """The first row with a quote that nothing closes, or that closes before its field ends.

    Other rows would be taken for a part of its text.
    """
    line = 1
    with _long_fields():
        reader = csv.reader(lines, strict=True)
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error:
            return f'line {line} has a quote (") that does not close where its field ends: write it twice ("")'
    return None


def csv_fault(text: str) -> str | None:
    """Why it is no table: its quotes, its separator, or the first row with more or fewer fields than the header."""
    if fault := quoting_fault(io.StringIO(text, newline="")):
        return fault
    rows = csv_rows(text)
    _, header = next(rows, (1, []))
    if hint := other_separator(header):
        return hint
    for line, fields in rows:
        if len(fields) != len(header):
            return f"line {line} has {len(fields)} fields and the header {len(header)}: quote what holds commas"
    return None


def other_separator(columns: list[str]) -> str | None:
    """What to do where a header of one column is several, separated by something else than commas."""
    found = next((mark for mark in _OTHER_SEPARATORS if len(columns) == 1 and mark in columns[0]), None)
    return found and f"it seems to be separated by {found!r}: save it with commas"


@contextmanager
def _long_fields() -> Iterator[None]:
    before = csv.field_size_limit(_LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(before)
