"""Ordered records, cut into shards of a fixed number of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import file_digest
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recap.ledger import Shard
from recap.records import CAPTIONED
from recap.shards.notes import Note
from recap.shards.parquet import write_parquet
from recap.shards.settings import OutputSettings
from recap.shards.webdataset import write_webdataset
from recap.storage import Location, sync


def cut(
    batches: Iterable[pa.Table], settings: OutputSettings, video_root: Location | None, new: Callable[..., Cutter]
) -> list[Shard]:
    """Hand ordered records to cutters, one a kind, each made by `new(name, write, rows, ...)`; the shards they cut."""
    video_root = video_root if settings.include_video else None

    def tar(rows: pa.Table, path: Path) -> None:
        write_webdataset(rows, path, video_root)

    rows = settings.rows_per_shard
    cutters = [new("quarantine/data-{:05d}.parquet", write_parquet, rows)]
    if "parquet" in settings.formats:
        cutters.append(new("parquet/data-{:05d}.parquet", write_parquet, rows))
    if "webdataset" in settings.formats:
        cutters.append(new("webdataset/train-{:06d}.tar", tar, rows, is_repeatable=video_root is None))
    for batch in batches:
        captioned = pc.equal(batch["status"], CAPTIONED)
        cutters[0].add(batch.filter(pc.invert(captioned)))
        for cutter in cutters[1:]:
            cutter.add(batch.filter(captioned))
    return [shard for cutter in cutters for shard in cutter.close()]


class Cutter:
    """Gathers rows and writes a shard whenever it has enough."""

    def __init__(
        self,
        folder: Path,
        name: str,
        write: Callable[[pa.Table, Path], None],
        rows_per_shard: int,
        is_repeatable: bool = True,  # the rows alone decide what is written
    ):
        self.folder, self.name, self.write, self.rows_per_shard = folder, name, write, rows_per_shard
        self.is_repeatable = is_repeatable
        self.rows: list[pa.Table] = []
        self.shards: list[Shard] = []

    def add(self, rows: pa.Table) -> None:
        """Take the next rows."""
        self.rows.append(rows)
        while sum(map(len, self.rows)) >= self.rows_per_shard:
            table = pa.concat_tables(self.rows)
            self._cut(table.slice(0, self.rows_per_shard))
            self.rows = [table.slice(self.rows_per_shard)]

    def close(self) -> list[Shard]:
        """Cut what is left; all shards."""
        if any(map(len, self.rows)):
            self._cut(pa.concat_tables(self.rows))
        return self.shards

    def _cut(self, rows: pa.Table) -> None:
        name, rows = self.name.format(len(self.shards)), rows.combine_chunks()
        note = Note.of(self.folder, name, rows) if self.is_repeatable else None
        shard = note.read() if note else None
        if shard is None or not intact(self.folder, shard):
            shard = self._write(name, rows)
            if note:
                note.write(shard)
        self.shards.append(shard)

    def _write(self, name: str, rows: pa.Table) -> Shard:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        self.write(rows, path)
        digest, ids = sync_and_digest(path), rows["clip_id"]
        kind = name.split("/", 1)[0]
        return Shard(name, kind, len(rows), path.stat().st_size, digest, ids[0].as_py(), ids[-1].as_py())


def sync_and_digest(path: Path) -> str:
    """The sha256 of a file, once it is on the disk."""
    sync(path)
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def intact(folder: Path, shard: Shard) -> bool:
    """Whether `folder` holds the shard, every byte of it."""
    path = folder / shard.path
    return path.is_file() and sync_and_digest(path) == shard.sha256
