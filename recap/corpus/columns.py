"""The caller's own columns, in types that can be kept and handed on."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

_VIEWS = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


def callers_columns(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """Some columns of a manifest. Raises ValueError for one with a time that no row could be written with."""
    columns = table.select(list(names))
    for name in columns.column_names:
        _refuse_far_times(name, columns[name])
    return columns


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


def _refuse_far_times(name: str, column: pa.ChunkedArray) -> None:
    if not (pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)):
        return
    try:
        pc.min_max(column).as_py()
    except (OverflowError, ValueError) as error:
        raise ValueError(
            f"corpus: column {name!r} ({column.type}) holds times beyond the years 1 to 9999, or of an unknown zone "
            f"({error}); mend them, or write the column as text"
        ) from None
