"""A corpus that is a table: csv, jsonl or parquet, one clip a row."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from recap.corpus.columns import callers_columns
from recap.corpus.csv_text import other_separator
from recap.corpus.entry import Entry
from recap.corpus.faults import place_of, why_unreadable
from recap.corpus.looking import looked_at
from recap.corpus.root import Root, StoreRoot, root_of
from recap.corpus.settings import CorpusSettings
from recap.corpus.tables import READERS
from recap.storage import Location, below, in_archive, is_folder, location

_STEP = 4096
_FURTHEST_S = 1e9


def manifest_root(settings: CorpusSettings) -> Location:
    """The folder that the addresses are relative to."""
    return location(settings.root) if settings.root else location(settings.path).parent


def read_manifest(settings: CorpusSettings) -> pa.Table:
    """The whole manifest. Raises ValueError for a missing or unreadable one, or one without our columns."""
    if settings.root and not is_folder(location(settings.root)):
        raise ValueError(f"corpus.root: there is no folder {settings.root}")
    path = location(settings.path)
    try:
        table = _read(path, settings)
    except FileNotFoundError:
        raise ValueError(f"corpus.path: there is no manifest {path}") from None
    except RecursionError:
        raise ValueError(f"corpus.path: the manifest {path} has lists or objects nested too deep to be kept") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"corpus.path: cannot read the manifest {path}: {why_unreadable(path, error)}") from error
    _require_columns(table, settings)
    return table


def _read(path: Location, settings: CorpusSettings) -> pa.Table:
    if path.suffix.lower() not in READERS:
        raise ValueError(f"corpus.path: {path.name} is not one of {', '.join(READERS)}")
    table = READERS[path.suffix.lower()](path, settings)
    table.validate(full=True)  # text that is not UTF-8 would otherwise fail much later
    _refuse_twins(table, path)
    return table


def _refuse_twins(table: pa.Table, path: Location) -> None:
    twins = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twins:
        raise ValueError(f"corpus.path: {path} has several columns named {', '.join(twins)}; rename them")


def _require_columns(table: pa.Table, settings: CorpusSettings) -> None:
    wanted = {
        "corpus.column": settings.column,
        "corpus.start_column": settings.start_column,
        "corpus.end_column": settings.end_column,
    }
    hint = other_separator(table.column_names) or ""
    for key, name in wanted.items():
        if name is not None and name not in table.column_names:
            raise ValueError(
                f"{key}: the manifest {settings.path} has no column {name!r}; "
                f"it has {', '.join(table.column_names) or 'none'}{hint and f'; {hint}'}"
            )


def callers_part(table: pa.Table, settings: CorpusSettings) -> pa.Table:
    """The manifest without its address and span."""
    used = {settings.column, settings.start_column, settings.end_column}
    return callers_columns(table, [name for name in table.column_names if name not in used])


def manifest_entries(table: pa.Table, settings: CorpusSettings) -> Iterator[Entry]:
    """Every row of the manifest, in its order. Raises ValueError that names the line of the first row without sense."""
    root = root_of(manifest_root(settings), settings.trust_size)
    return looked_at(lambda row: _entry(*row, root, settings), enumerate(_rows(table, settings)))


def _entry(number: int, row: tuple[Any, Any, Any], root: Root | StoreRoot, settings: CorpusSettings) -> Entry:
    address, start, end = row
    try:
        start_s, end_s = _seconds(start, settings.start_column), _seconds(end, settings.end_column)
        uri = root.inside(_address(address, settings.column))
        if in_archive(below(root.folder, uri)):
            raise ValueError(f"the address {uri!r} is in a tar, whose clips `corpus.kind: webdataset` lists")
        return Entry(uri, *_ordered(start_s, end_s), root.version(uri))
    except ValueError as error:
        place = place_of(location(settings.path), number)
        raise ValueError(f"{place} of {settings.path}: {error}") from error


def _rows(table: pa.Table, settings: CorpusSettings) -> Iterator[tuple[Any, Any, Any]]:
    """Address, start and end of each row, a few thousand at a time as Python values."""
    names = (settings.column, settings.start_column, settings.end_column)
    for first in range(0, len(table), _STEP):
        part = table.slice(first, _STEP)
        yield from zip(*([None] * len(part) if n is None else part[n].to_pylist() for n in names), strict=True)


def _address(value: Any, column: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"column {column!r} holds no address")
    return value


def _seconds(value: Any, column: str | None) -> float | None:
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < _FURTHEST_S:
        raise ValueError(
            f"column {column!r} holds {value!r}, not seconds from the file's start (below {_FURTHEST_S:.0e})"
        )
    return seconds


def _ordered(start_s: float | None, end_s: float | None) -> tuple[float | None, float | None]:
    if end_s is not None and end_s <= (start_s or 0.0):
        raise ValueError(f"the clip ends ({end_s}) before it starts ({start_s or 0.0})")
    return start_s, end_s
