"""One shard, written from its rows: on this machine, or on any that sees the same output."""

from __future__ import annotations

import os
from collections.abc import Callable, Set
from concurrent.futures import Executor, Future
from hashlib import file_digest
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa

from recap.ledger import Shard
from recap.shards.notes import Note, writers
from recap.storage import Location, scratch, sync, upload

Write = Callable[[pa.Table, Path], bool]


class Here(Executor):
    """Everything at once, in this thread."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """The future has its result; what the function raises is raised."""
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future


def write_shard(folder: Path, by: str, name: str, rows: pa.Table, source: str, write: Write) -> Note:
    """Write a shard to the file in `folder` that is named by its sha256; and whether its `source` decides all of it.

    Raises ValueError where this machine's `writers` are others than those that it is to be written `by`.
    """
    if writers() != by:
        raise ValueError(f"this node has {writers()}, and the driver {by}")
    path = folder / f".{uuid4().hex}"
    is_whole = write(rows, path)
    digest, ids = sync_and_digest(path), rows["clip_id"]
    kind = name.split("/", 1)[0]
    shard = Shard(name, kind, len(rows), path.stat().st_size, digest, ids[0].as_py(), ids[-1].as_py())
    os.replace(path, folder / digest)
    return Note(source if is_whole else "", shard)


def upload_shard(aside: Location, known: Set[str], by: str, *what: Any) -> Note:
    """`write_shard` to an object in `aside`, unless its sha256 is `known`."""
    with scratch("recap-shard-") as folder:
        note = write_shard(folder, by, *what)
        sha256 = note.shard.sha256
        if sha256 not in known:
            upload(folder / sha256, aside / sha256)
    return note


def sync_and_digest(path: Path) -> str:
    """The sha256 of a file, once it is on the disk."""
    sync(path)
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()
