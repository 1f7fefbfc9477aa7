"""The caller's own columns, in types that can be kept and handed on."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

_STEP = 4096
DEEPEST = 40  # of Parquet's limit of 100 a list takes two
_VIEWS = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


def callers_columns(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """Some columns of a manifest. Raises ValueError for times and types that no row could be written with."""
    columns = table.select(list(names))
    for name in columns.column_names:
        if _depth(columns[name].type) > DEEPEST:
            raise ValueError(
                f"corpus: column {name!r} has lists or objects more than {DEEPEST} deep in one another, which shards "
                "cannot keep; write the column as text"
            )
        _refuse_far_times(name, columns[name])
    return columns


def without_empty_objects(table: pa.Table) -> pa.Table:
    """Nulls for what is never anything but `{}`, which no file could keep. Raises ValueError for that within others."""
    for place, field in enumerate(table.schema):
        if _is_empty(field.type):
            table = table.set_column(place, field.name, pa.nulls(len(table)))
        elif _holds_empty(field.type):
            raise ValueError(
                f"corpus: column {field.name!r} ({field.type}) holds objects with nothing in any of them ({{}}), which "
                "shards cannot keep; leave them out, or write the column as text"
            )
    return table


def _depth(kind: pa.DataType) -> int:
    """Counted no further than it matters."""
    kinds, depth = [kind], 0
    while depth <= DEEPEST and (kinds := [inner for each in kinds for inner in _inner(each)]):
        depth += 1
    return depth


def _inner(kind: pa.DataType) -> list[pa.DataType]:
    return [kind.field(place).type for place in range(kind.num_fields)]


def _is_empty(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and not kind.num_fields


def _holds_empty(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _holds_empty(kind.value_type)
    return _is_empty(kind) or (pa.types.is_struct(kind) and any(_holds_empty(field.type) for field in kind))


def plain(schema: pa.Schema) -> pa.Schema:
    """A manifest's schema with the values that dictionaries and views stand for."""
    return pa.schema([field.with_type(_plain_type(field.type)) for field in schema])


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """`kind` with what Arrow can neither pick rows of nor keep in Parquet replaced, at any depth."""
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain_type(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_plain_type(kind.key_type), _plain_type(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_plain_type(kind.value_type)))
    return _VIEWS.get(kind, kind)


def _holds_times(kind: pa.DataType) -> bool:
    return pa.types.is_temporal(kind) or any(map(_holds_times, _inner(kind)))


def _refuse_far_times(name: str, column: pa.ChunkedArray) -> None:
    try:
        if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
            pc.min_max(column).as_py()
        elif _holds_times(column.type):
            for first in range(0, len(column), _STEP):
                column.slice(first, _STEP).to_pylist()
    except (OverflowError, ValueError) as error:
        raise ValueError(
            f"corpus: column {name!r} ({column.type}) holds times beyond the years 1 to 9999, or of an unknown zone "
            f"({error}); mend them, or write the column as text"
        ) from None
