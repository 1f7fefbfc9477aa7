"""Rows of many Parquet files, in any order, without holding the files."""

from __future__ import annotations

import errno
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recap.storage import Location, source

OPEN_FILES = 16
HELD_ROWS = 131_072


class RowReader:
    """Reads single row groups and keeps the latest: at most `HELD_ROWS` rows and `OPEN_FILES` files.

    What is asked for in about the order in which it was written is read from the disk once. Where a file does not have
    the rows that `lengths` says, another one has taken its place: FileNotFoundError.
    """

    def __init__(self, paths: Sequence[Location], schema: pa.Schema, lengths: Sequence[int] | None = None):
        self.paths, self.schema, self.lengths = paths, schema, lengths
        self._files: OrderedDict[int, tuple[pq.ParquetFile, np.ndarray]] = OrderedDict()
        self._groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._rows = 0

    def take(self, file: np.ndarray, row: np.ndarray) -> pa.Table:
        """Row `row[i]` of `paths[file[i]]` for every i, with the columns of `schema`; null where a file lacks one."""
        assert (file >= 0).all(), "a row of no file"
        return _gathered(file, row, self._from_file, self.schema)

    def _from_file(self, number: int, rows: np.ndarray) -> list[pa.Table]:
        starts = self._open(number)[1]
        groups = np.searchsorted(starts, rows, side="right") - 1
        return [self._group(number, group).take(pa.array(some - starts[group])) for group, some in _apart(groups, rows)]

    def _open(self, number: int) -> tuple[pq.ParquetFile, np.ndarray]:
        if number not in self._files:
            file = pq.ParquetFile(source(self.paths[number]))
            if self.lengths and file.metadata.num_rows != self.lengths[number]:
                raise FileNotFoundError(errno.ENOENT, "it has other rows meanwhile", str(self.paths[number]))
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            self._files[number] = file, np.cumsum([0, *sizes])[:-1]
            if len(self._files) > OPEN_FILES:
                self._files.popitem(last=False)[1][0].close()
        self._files.move_to_end(number)
        return self._files[number]

    def _group(self, number: int, group: int) -> pa.Table:
        key = number, group
        if key not in self._groups:
            file = self._open(number)[0]
            names = [name for name in self.schema.names if name in file.schema_arrow.names]
            self._groups[key] = _as_text(file.read_row_group(group, columns=names), self.schema)
            self._rows += len(self._groups[key])
            while self._rows > HELD_ROWS and len(self._groups) > 1:
                self._rows -= len(self._groups.popitem(last=False)[1])
        self._groups.move_to_end(key)
        return self._groups[key]


class Chunks:
    """Rows of a table in any order. Arrow's own `take` would join all chunks of a column for it."""

    def __init__(self, table: pa.Table):
        self.schema, self._batches = table.schema, table.to_batches()
        self._starts = np.cumsum([0, *map(len, self._batches)])[:-1]

    def take(self, row: np.ndarray) -> pa.Table:
        """Row `row[i]` for every i."""
        chunk = np.searchsorted(self._starts, row, side="right") - 1
        return _gathered(chunk, row - self._starts[chunk], self._from_chunk, self.schema)

    def _from_chunk(self, number: int, rows: np.ndarray) -> list[pa.Table]:
        return [pa.Table.from_batches([self._batches[number].take(pa.array(rows))])]


def _gathered(
    part: np.ndarray, row: np.ndarray, pick: Callable[[int, np.ndarray], list[pa.Table]], schema: pa.Schema
) -> pa.Table:
    """Row `row[i]` of part `part[i]` for every i; `pick` gives ascending rows of one part."""
    order = np.lexsort((row, part))
    pieces = [schema.empty_table()]
    for number, some in _apart(part[order], row[order]):
        pieces += pick(number, some)
    rows = pa.concat_tables(pieces, promote_options="permissive")
    return rows.take(pa.array(np.argsort(order, kind="stable")))


def _apart(part: np.ndarray, row: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each part, of ascending ones, and its rows."""
    numbers, firsts = np.unique(part, return_index=True)
    if len(numbers):
        yield from zip(numbers.tolist(), np.split(row, firsts[1:]), strict=True)


def common_schema(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Every column of some schemas in a type that holds what it is in each: numbers, times and texts are texts.

    Raises pyarrow's ArrowTypeError or ArrowInvalid where there is none.
    """
    texts = {name for schema in schemas for name in _texts(schema)}
    return pa.unify_schemas([_with_texts(schema, texts) for schema in schemas], promote_options="permissive")


def _as_text(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return table.cast(_with_texts(table.schema, _texts(schema)))


def _texts(schema: pa.Schema) -> set[str]:
    return {field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)}


def _with_texts(schema: pa.Schema, texts: set[str]) -> pa.Schema:
    return pa.schema([_in_text(field) if field.name in texts else field for field in schema])


def _in_text(field: pa.Field) -> pa.Field:
    kind = field.type
    is_plain = pa.types.is_primitive(kind) or pa.types.is_temporal(kind)  # a number, a truth value, a time
    return field.with_type(pa.string()) if is_plain else field
