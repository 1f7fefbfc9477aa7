"""A corpus that is a table: csv, jsonl or parquet, one clip a row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from recap.corpus.entry import Entry
from recap.corpus.identity import inside
from recap.corpus.settings import CorpusSettings

READERS = {
    ".csv": pyarrow.csv.read_csv,
    ".json": pyarrow.json.read_json,
    ".jsonl": pyarrow.json.read_json,
    ".parquet": pyarrow.parquet.read_table,
}


def manifest_root(settings: CorpusSettings) -> Path:
    """The folder that the addresses are relative to."""
    return Path(settings.root) if settings.root is not None else Path(settings.path).parent


def manifest_entries(settings: CorpusSettings) -> Iterator[Entry]:
    """Every row of the manifest, in its order."""
    table = read_manifest(settings)
    for number, row in enumerate(table.to_pylist(), start=1):
        yield _entry(row, number, settings)


def read_manifest(settings: CorpusSettings) -> pa.Table:
    """The whole manifest. Raises ValueError for a missing, unreadable or column-less one."""
    path = Path(settings.path)
    if not path.is_file():
        raise ValueError(f"corpus.path: there is no manifest {settings.path}")
    if path.suffix.lower() not in READERS:
        raise ValueError(f"corpus.path: {path.name} is not one of {', '.join(READERS)}")
    try:
        table = READERS[path.suffix.lower()](path)
    except pa.ArrowException as error:
        raise ValueError(f"corpus.path: cannot read the manifest {path}: {error}") from error
    _require_columns(table, settings)
    return table


def _require_columns(table: pa.Table, settings: CorpusSettings) -> None:
    wanted = {
        "corpus.column": settings.column,
        "corpus.start_column": settings.start_column,
        "corpus.end_column": settings.end_column,
    }
    for key, name in wanted.items():
        if name is not None and name not in table.column_names:
            raise ValueError(
                f"{key}: the manifest {settings.path} has no column {name!r}; "
                f"it has {', '.join(table.column_names) or 'none'}"
            )


def _entry(row: dict, number: int, settings: CorpusSettings) -> Entry:
    address = row.pop(settings.column)
    if not isinstance(address, str) or not address:
        raise ValueError(f"row {number} of {settings.path}: column {settings.column!r} holds no address")
    start_s, end_s = (_seconds(row, name, number) for name in (settings.start_column, settings.end_column))
    if start_s is not None and end_s is not None and end_s <= start_s:
        raise ValueError(f"row {number} of {settings.path}: the clip ends ({end_s}) before it starts ({start_s})")
    try:
        uri = inside(manifest_root(settings), address)
    except ValueError as error:
        raise ValueError(f"row {number} of {settings.path}: {error}") from error
    return Entry(uri, start_s, end_s, row)


def _seconds(row: dict, name: str | None, number: int) -> float | None:
    value = row.pop(name, None) if name is not None else None
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"row {number}: column {name!r} holds {value!r}, not seconds from the file's start")
    return seconds
