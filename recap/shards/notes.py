"""Notes of what finished shards were written from, so that none is written twice."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recap.ledger import Shard, shaped
from recap.shards import parquet, videos, webdataset
from recap.storage import Location, read_bytes

NOTES = "notes.jsonl"


def generation_of(lines: Iterable[str]) -> str:
    """The generation of shards, each given as `path sha256`; the path is below the generation's folder."""
    return blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Note:
    """A finished shard, its path below the folder of the notes, and the digest of its source."""

    source: str
    shard: Shard

    def named(self, name: str) -> Note:
        """The same shard under another name."""
        return replace(self, shard=replace(self.shard, path=name))


def key_of(name: str, source: str) -> tuple[str, str]:
    """What tells shards apart, for the same source gives another file to each kind: `parquet/…`, `webdataset/…`."""
    return name.split("/", 1)[0], source


def source_digest(rows: pa.Table) -> str:
    """What decides a shard's bytes: rows, and what writes them.

    Of Parquet, as Arrow's own form of the same rows depends on how they were put together.
    """
    digest = blake2b(writers().encode(), digest_size=16)
    with pa.output_stream(_Hashing(digest)) as sink:
        pq.write_table(rows, sink, compression="none", row_group_size=max(len(rows), 1))
    return digest.hexdigest()


@cache
def writers() -> str:
    """What writes shards here: another pyarrow, say, may write other bytes."""
    own = b"".join(Path(module.__file__).read_bytes() for module in (parquet, videos, webdataset))
    python, own = ".".join(map(str, sys.version_info[:2])), blake2b(own, digest_size=4).hexdigest()
    return f"pyarrow {pa.__version__}, webdataset {version('webdataset')}, Python {python}, recap's own {own}"


def read_notes(folder: Location) -> Mapping[tuple[str, str], Note]:
    """The notes in a folder by their keys; none where they cannot be read, and no line that is torn."""
    path, notes = folder / NOTES, {}
    with suppress(OSError):
        for line in read_bytes(path).splitlines():
            with suppress(ValueError, RecursionError):
                note = shaped(path, json.loads(line), Note)
                notes[key_of(note.shard.path, note.source)] = note
    return notes


def add_note(folder: Location, note: Note) -> None:
    """Only once the shard is on the disk."""
    with open(folder / NOTES, "ab") as file:
        file.write(as_bytes([note]))
        file.flush()
        os.fsync(file.fileno())


def as_bytes(notes: Iterable[Note]) -> bytes:
    """What the file of some notes holds."""
    return b"".join(json.dumps(asdict(note)).encode() + b"\n" for note in notes)


class _Hashing:
    """A file to write to, which keeps nothing."""

    closed = False

    def __init__(self, digest: blake2b):
        self.digest = digest

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""
