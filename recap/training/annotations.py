"""Where conversations are written down: JSON lists, JSON lines and tables, one file or a folder of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet


def annotation_files(path: Path) -> list[Path]:
    """The file itself, or every `.json` file below the folder in the order of their names.

    Raises ValueError where there is none.
    """
    if path.is_dir():
        found = sorted(path.rglob("*.json"))
        if not found:
            raise ValueError(f"data.sets: there is no .json file below {path}")
        return found
    if not path.is_file():
        raise ValueError(f"data.sets: there is no file {path}")
    if path.suffix.lower() not in READERS:
        raise ValueError(f"data.sets: {path} is not one of {', '.join(READERS)}")
    return [path]


def read_annotations(file: Path) -> Iterator[dict[str, Any]]:
    """Its conversations: `{video or image, QA, start, end}`, or `i`, `q` and `a` in the place of `QA`.

    Raises ValueError for a file that cannot be read.
    """
    try:
        yield from READERS[file.suffix.lower()](file)
    except (ValueError, OSError, pa.ArrowException) as error:
        raise ValueError(f"data.sets: {file} cannot be read: {error}") from None


def _json(file: Path) -> list[Any]:
    entries = json.loads(file.read_text(encoding="utf-8-sig"))
    if not isinstance(entries, list):
        raise ValueError("it must hold a list of conversations")
    return entries


def _json_lines(file: Path) -> Iterator[Any]:
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _parsed(line, number)


def _parsed(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None


def _csv(file: Path) -> Iterator[dict[str, Any]]:
    as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys(("video", "image", "i", "q", "a"), pa.string()))
    in_quotes = pa.csv.ParseOptions(newlines_in_values=True)
    return _conversations(pa.csv.read_csv(file, parse_options=in_quotes, convert_options=as_text))


def _parquet(file: Path) -> Iterator[dict[str, Any]]:
    with pa.parquet.ParquetFile(file) as table:  # read_table would add columns for folders named `key=value`
        return _conversations(table.read())


def _conversations(table: pa.Table) -> Iterator[dict[str, Any]]:
    """One conversation a row; empty cells are None."""
    for row in table.to_pylist():
        yield {name: None if value == "" else value for name, value in row.items()}


READERS: dict[str, Callable[[Path], Any]] = {
    ".json": _json,
    ".jsonl": _json_lines,
    ".csv": _csv,
    ".parquet": _parquet,
}
