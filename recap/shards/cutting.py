"""Ordered records, cut into shards of a fixed number of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import file_digest
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recap.ledger import Shard
from recap.records import CAPTIONED
from recap.shards.notes import Note, source_digest
from recap.shards.parquet import write_parquet
from recap.shards.settings import OutputSettings
from recap.shards.videos import Videos
from recap.shards.webdataset import write_webdataset
from recap.storage import sync

Write = Callable[[pa.Table, Path], bool]


class Place(ABC):
    """Where the shards of a generation go, and what is known of those that were finished before."""

    def __init__(self, folder: Path):
        self.folder = folder

    @abstractmethod
    def find(self, name: str, source: str) -> Note | None:
        """The shard `name` as it was made of the same source before, once it is in its place."""

    @abstractmethod
    def keep(self, note: Note) -> None:
        """The shard was written into `folder`."""


def cut(
    batches: Iterable[pa.Table], settings: OutputSettings, videos: Videos | None, place: Place
) -> tuple[list[Shard], list[Note]]:
    """Cut ordered records into the shards of a generation; and notes of those whose source decides what they are."""
    videos = videos if settings.include_video else None
    rows = settings.rows_per_shard
    cutters = [Cutter(place, "quarantine/data-{:05d}.parquet", write_parquet, rows)]
    if "parquet" in settings.formats:
        cutters.append(Cutter(place, "parquet/data-{:05d}.parquet", write_parquet, rows))
    if "webdataset" in settings.formats:
        tar = partial(write_webdataset, videos=videos)
        cutters.append(Cutter(place, "webdataset/train-{:06d}.tar", tar, rows, videos))
    for batch in batches:
        captioned = pc.equal(batch["status"], CAPTIONED)
        cutters[0].add(batch.filter(pc.invert(captioned)))
        for cutter in cutters[1:]:
            cutter.add(batch.filter(captioned))
    notes = [note for cutter in cutters for note in cutter.close()]
    return [note.shard for note in notes], [note for note in notes if note.source]


class Cutter:
    """Gathers rows and makes a shard whenever it has enough."""

    def __init__(self, place: Place, name: str, write: Write, rows_per_shard: int, videos: Videos | None = None):
        self.place, self.name, self.write, self.rows_per_shard, self.videos = place, name, write, rows_per_shard, videos
        self.rows: list[pa.Table] = []
        self.notes: list[Note] = []

    def add(self, rows: pa.Table) -> None:
        """Take the next rows."""
        self.rows.append(rows)
        while sum(map(len, self.rows)) >= self.rows_per_shard:
            table = pa.concat_tables(self.rows)
            self._cut(table.slice(0, self.rows_per_shard))
            self.rows = [table.slice(self.rows_per_shard)]

    def close(self) -> list[Note]:
        """Cut what is left; what there is to say of all shards, without a source where it does not decide all."""
        if any(map(len, self.rows)):
            self._cut(pa.concat_tables(self.rows))
        return self.notes

    def _cut(self, rows: pa.Table) -> None:
        name, rows = self.name.format(len(self.notes)), rows.combine_chunks()
        source = source_digest(rows, *([self.videos.versions(rows)] if self.videos else ()))
        note = self.place.find(name, source)
        if note is None:
            note = self._write(name, rows, source)
            self.place.keep(note)
        self.notes.append(note)

    def _write(self, name: str, rows: pa.Table, source: str) -> Note:
        path = self.place.folder / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)  # it may be a link to the shard that readers have open
        is_whole = self.write(rows, path)
        digest, ids = sync_and_digest(path), rows["clip_id"]
        kind = name.split("/", 1)[0]
        shard = Shard(name, kind, len(rows), path.stat().st_size, digest, ids[0].as_py(), ids[-1].as_py())
        return Note(source if is_whole else "", shard)


def sync_and_digest(path: Path) -> str:
    """The sha256 of a file, once it is on the disk."""
    sync(path)
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()
