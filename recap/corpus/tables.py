"""Manifests as tables. Columns of texts get another type only where that says the same as the file does."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from recap.corpus.columns import plain, without_empty_objects
from recap.corpus.csv_text import quoting_fault
from recap.corpus.json_text import json_rows, rounded
from recap.corpus.settings import CorpusSettings
from recap.storage import Location, is_store, read_bytes, source, spilled

_BLOCK_BYTES = 2**26  # no row may be longer
# 0012 is a name, and so are 12e5 (what writes numbers writes 12e+5) and more digits than a number keeps.
_LONG_NUMBER = re.compile(rb"(?:[:,\[]|^)\s*-?\d{16}")  # of JSON
_NO_NUMBER = r"^([+-]?0\d|[+-]?\d{16,}$|[+-]?\d+[eE]\d+$)"


def _csv(path: Location, settings: CorpusSettings) -> pa.Table:
    data = _Data(path)
    table = _csv_with(data, [settings.column])
    if any(map(pa.types.is_binary, table.schema.types)):  # what the reader makes of text that is not UTF-8
        raise pa.ArrowInvalid("it is not UTF-8")
    if fault := _quoting_fault(data):
        raise pa.ArrowInvalid(fault)
    if all(map(pa.types.is_string, table.schema.types)):
        return table
    columns = zip(table.column_names, table.columns, _csv_with(data, table.column_names).columns, strict=True)
    otherwise = [name for name, values, texts in columns if not _says(values, texts)]
    texts = {settings.column, *otherwise} - {settings.start_column, settings.end_column}
    return _csv_with(data, texts) if otherwise else table


class _Data:
    """A file to be read more than once; an object is fetched once."""

    def __init__(self, path: Location):
        self.open = partial(io.BytesIO, read_bytes(path)) if is_store(path) else partial(open, path, "rb")


def _quoting_fault(data: _Data) -> str | None:
    """What pyarrow puts up with, however many rows it takes for one text."""
    with data.open() as file:
        if not any(b'"' in block for block in iter(partial(file.read, _BLOCK_BYTES), b"")):
            return None
        file.seek(0)
        return quoting_fault(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))


def _csv_with(data: _Data, as_text: Iterable[str]) -> pa.Table:
    in_quotes = pa.csv.ParseOptions(newlines_in_values=True)
    blocks = pa.csv.ReadOptions(block_size=_BLOCK_BYTES)
    types = pa.csv.ConvertOptions(column_types=dict.fromkeys(as_text, pa.string()))
    with data.open() as file:
        return pa.csv.read_csv(file, blocks, in_quotes, types)


def _says(values: pa.ChunkedArray, texts: pa.ChunkedArray) -> bool:
    """Whether the values, written out, are what stood in the file; a number may be written in another way.

    NA and its like say that there is none, unless a column holds nothing else.
    """
    if pa.types.is_null(values.type):
        return not pc.any(pc.not_equal(texts, "")).as_py()
    texts = pc.utf8_trim_whitespace(texts.filter(pc.is_valid(values)))
    if pa.types.is_floating(values.type):
        return not pc.any(pc.match_substring_regex(texts, _NO_NUMBER)).as_py()
    if pa.types.is_integer(values.type) or pa.types.is_temporal(values.type):
        return pc.all(pc.equal(values.drop_null().cast(pa.string()), texts)).as_py() is not False
    return True


def _json(path: Location, settings: CorpusSettings) -> pa.Table:
    _refuse_null(path)
    table = _json_with(path, [])
    timed = [field.with_type(_in_text(field.type)) for field in table.schema if _in_text(field.type) != field.type]
    table = _json_with(path, timed).select(table.column_names) if timed else table
    _refuse_rounded(path, table.schema)
    return without_empty_objects(table)


def _refuse_null(path: Location) -> None:
    """The reader does not survive one in the place of the first row."""
    with _Data(path).open() as file:
        numbered = ((number, line.strip()) for number, line in enumerate(file, 1))
        number, first = next(((number, line) for number, line in numbered if line), (0, b""))
    if first.removeprefix(codecs.BOM_UTF8).startswith(b"null"):
        raise ValueError(f"corpus.path: line {number} of {path} holds null: write one object a line, {{…}}")


def _refuse_rounded(path: Location, schema: pa.Schema) -> None:
    """Raise ValueError for a whole number that is not the one in the file: the reader does not say."""
    for line, row in _with_long_numbers(path) if "double" in str(schema) else ():
        for field in schema:
            if (number := next(rounded(row.get(field.name), field.type), None)) is not None:
                raise ValueError(
                    f"line {line} of {path}: column {field.name!r} holds fractions, or numbers of more than 64 bits, "
                    f"and {number} would become another number; write the column's numbers in quotes"
                )


def _with_long_numbers(path: Location) -> Iterator[tuple[int, Any]]:
    """Rows that hold a long number, and their lines; all rows where one does not stand on a line of its own."""
    with _Data(path).open() as file:
        for number, line in enumerate(file, 1):
            if _LONG_NUMBER.search(line):
                try:
                    yield number, json.loads(line)
                except ValueError:
                    break
        else:
            return
    yield from json_rows(read_bytes(path).decode("utf-8-sig"))


def _json_with(path: Location, fields: list[pa.Field]) -> pa.Table:
    blocks = pa.json.ReadOptions(block_size=_BLOCK_BYTES)
    return pa.json.read_json(source(path), blocks, pa.json.ParseOptions(explicit_schema=pa.schema(fields)))


def _in_text(kind: pa.DataType) -> pa.DataType:
    """`kind` with texts, at any depth, where the reader made times of them."""
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_in_text(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_in_text(kind.value_type))
    return pa.string() if pa.types.is_temporal(kind) else kind


def _parquet(path: Location, settings: CorpusSettings) -> pa.Table:
    with pa.parquet.ParquetFile(source(path)) as file:  # read_table would add columns for folders named `key=value`
        schema = plain(file.schema_arrow)
        batches = (pa.Table.from_batches([batch]).cast(schema) for batch in file.iter_batches())
        return spilled(schema, batches)


READERS = {".csv": _csv, ".json": _json, ".jsonl": _json, ".parquet": _parquet}
