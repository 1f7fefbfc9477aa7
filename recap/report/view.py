"""Captions on the terminal."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recap.ledger import read_manifest


def print_captions(output: Path, rows: int, console: Console) -> None:
    """The first `rows` records of the current generation. Raises ValueError where there is none."""
    manifest = read_manifest(output)
    table = Table("clip", "caption", box=None, pad_edge=False)
    for record in islice(_records(output, manifest), rows):
        reason = f"({record['status']}: {record['error_message']})"
        table.add_row(escape(record["uri"]), escape(record["caption"] or reason))
    console.print(table, highlight=False)
    console.print(f"{output}/shards/{manifest['generation']} holds them all", highlight=False, soft_wrap=True)


def _records(output: Path, manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    shards = manifest["shards"]
    kinds = {shard["kind"] for shard in shards}
    for kind in ("parquet" if "parquet" in kinds else "webdataset", "quarantine"):
        for shard in shards:
            if shard["kind"] == kind:
                yield from _shard(output / shard["path"])


def _shard(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        yield from pq.read_table(path, columns=["uri", "caption", "status", "error_message"]).to_pylist()
        return
    with tarfile.open(path) as archive:
        yield from (json.load(archive.extractfile(member)) for member in archive if member.name.endswith(".json"))
