"""Captions on the terminal."""

from __future__ import annotations

from itertools import islice

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recap.ledger import read_manifest
from recap.report.rows import read_rows
from recap.storage import Location

COLUMNS = ["uri", "caption", "status", "error_message"]


def print_captions(output: Location, rows: int, console: Console) -> None:
    """The first `rows` records of the current generation. Raises ValueError where there is none."""
    manifest = read_manifest(output)
    table = Table("clip", "caption", box=None, pad_edge=False)
    for record in islice(read_rows(output, manifest, COLUMNS), rows):
        reason = f"({record['status']}: {record['error_message']})"
        table.add_row(escape(record["uri"]), escape(record["caption"] or reason))
    console.print(table, highlight=False)
    console.print(f"{output}/shards/{manifest['generation']} holds them all", highlight=False, soft_wrap=True)
