"""Captions on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from recap.ledger import read_manifest
from recap.report.printable import printable
from recap.report.rows import rows_of
from recap.storage import Location

COLUMNS = ["uri", "start_s", "end_s", "caption", "captions", "status", "error_message"]


def print_captions(output: Location, rows: int, console: Console, *, latest: bool = False) -> None:
    """The first `rows` records of the current generation, translations below their caption; or the `latest` ones.

    Raises ValueError where there is none.
    """
    records = rows_of(output, COLUMNS, latest=latest)
    columns = (Column(name, overflow="fold") for name in ("clip", "caption"))  # Chinese has no spaces to break at
    table = Table(*columns, box=None, pad_edge=False)
    for record in islice(records, rows):
        table.add_row(_shown(_clip(record)), "\n".join(_lines(record)))
    console.print(table, highlight=False)
    console.print(_where(output, table.row_count, latest), markup=False, highlight=False, soft_wrap=True)


def _where(output: Location, rows: int, latest: bool) -> str:
    if not latest:
        return f"{output}/shards/{read_manifest(output).generation} holds them all"
    what = "what was committed last" if rows else "nothing has been committed yet"
    return f"{what} (`recap status {output}` counts it all)"


def _clip(record: Mapping[str, Any]) -> str:
    start, end = record["start_s"], record["end_s"]
    if start is None and end is None:
        return record["uri"]
    return f"{record['uri']}, {start or 0:.10g} s to {'its end' if end is None else f'{end:.10g} s'}"


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    """The primary caption or why there is none, then its translations."""
    yield _shown(record["caption"] or f"({record['status']}: {record['error_message']})")
    for caption in record["captions"]:
        if caption["source_sha"] and caption["prompt"] == record["captions"][0]["prompt"]:
            yield f"[dim]{_shown(caption['text'])}[/dim]"


def _shown(text: str) -> str:
    return escape(printable(text))
