"""Captions on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recap.ledger import read_json


def print_captions(output: Path, rows: int, console: Console) -> None:
    """The first `rows` records of the current generation. Raises ValueError where there is none."""
    manifest = read_json(output / "manifest.json")
    if manifest is None:
        raise ValueError(f"{output} holds no manifest.json: no run has finished there yet")
    table = Table("clip", "caption", box=None, pad_edge=False)
    for record in islice(_records(output, manifest), rows):
        reason = f"({record['status']}: {record['error_message']})"
        table.add_row(escape(record["uri"]), escape(record["caption"] or reason))
    console.print(table, highlight=False)
    console.print(f"{output}/shards/{manifest['generation']} holds them all", highlight=False, soft_wrap=True)


def _records(output: Path, manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    columns = ["uri", "caption", "status", "error_message"]
    for kind in ("parquet", "quarantine"):
        for shard in manifest["shards"]:
            if shard["kind"] == kind:
                yield from pq.read_table(output / shard["path"], columns=columns).to_pylist()
