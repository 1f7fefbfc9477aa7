"""One generation of shards: written aside, named by its content, then made current."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict
from hashlib import blake2b, file_digest
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recap.ledger import sync
from recap.records import CAPTIONED
from recap.shards.notes import Note, Shard
from recap.shards.parquet import write_parquet
from recap.shards.settings import OutputSettings
from recap.shards.webdataset import write_webdataset

UNFINISHED = ".unfinished"


def write_generation(
    output: Path, batches: Iterable[pa.Table], settings: OutputSettings, video_root: Path | None = None
) -> tuple[str, list[Shard]]:
    """Cut ordered records into shards below `<output>/shards/<generation>`.

    Returns the generation and its shards. Memory is bounded by `rows_per_shard` records. The
    same records give the same name, so writing a generation twice is harmless. Whoever dies while
    writing leaves the shards that were done, and the next attempt takes those whose rows are the same.
    """
    aside = output / "shards" / UNFINISHED
    aside.mkdir(parents=True, exist_ok=True)
    shards = _write(aside, batches, settings, video_root if settings.include_video else None)
    _delete_others(aside, shards)
    generation = generation_of(f"{shard.path} {shard.sha256}" for shard in shards)
    _install(aside, output / "shards" / generation, shards)
    return generation, [_below(shard, f"shards/{generation}") for shard in shards]


def delete_other_generations(output: Path, current: str) -> None:
    """Remove every generation but `current`, after the manifest has moved on."""
    for folder in (output / "shards").iterdir():
        if folder.name != current:
            shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path, batches: Iterable[pa.Table], settings: OutputSettings, video_root: Path | None) -> list[Shard]:
    def tar(rows: pa.Table, path: Path) -> None:
        write_webdataset(rows, path, video_root)

    rows = settings.rows_per_shard
    cutters = [_Cutter(folder, "quarantine/data-{:05d}.parquet", write_parquet, rows)]
    if "parquet" in settings.formats:
        cutters.append(_Cutter(folder, "parquet/data-{:05d}.parquet", write_parquet, rows))
    if "webdataset" in settings.formats:
        cutters.append(_Cutter(folder, "webdataset/train-{:06d}.tar", tar, rows, is_repeatable=video_root is None))
    for batch in batches:
        captioned = pc.equal(batch["status"], CAPTIONED)
        cutters[0].add(batch.filter(pc.invert(captioned)))
        for cutter in cutters[1:]:
            cutter.add(batch.filter(captioned))
    return [shard for cutter in cutters for shard in cutter.close()]


class _Cutter:
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
        self.rows.append(rows)
        while sum(map(len, self.rows)) >= self.rows_per_shard:
            table = pa.concat_tables(self.rows)
            self._cut(table.slice(0, self.rows_per_shard))
            self.rows = [table.slice(self.rows_per_shard)]

    def close(self) -> list[Shard]:
        if any(map(len, self.rows)):
            self._cut(pa.concat_tables(self.rows))
        return self.shards

    def _cut(self, rows: pa.Table) -> None:
        name, rows = self.name.format(len(self.shards)), rows.combine_chunks()
        note = Note.of(self.folder, name, rows)
        shard = note.read() if self.is_repeatable else None
        if shard is None or not _intact(self.folder, shard):
            shard = self._write(name, rows)
            note.write(shard)
        self.shards.append(shard)

    def _write(self, name: str, rows: pa.Table) -> Shard:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        self.write(rows, path)
        digest, ids = _sync_and_digest(path), rows["clip_id"]
        kind = name.split("/", 1)[0]
        return Shard(name, kind, len(rows), path.stat().st_size, digest, ids[0].as_py(), ids[-1].as_py())


def _sync_and_digest(path: Path) -> str:
    sync(path)
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _delete_others(folder: Path, shards: list[Shard]) -> None:
    """What an earlier attempt left that this one did not ask for, and its notes."""
    wanted = {folder / shard.path for shard in shards}
    for path in [path for path in folder.rglob("*") if path.is_file() and path not in wanted]:
        path.unlink()
    for path in [path for path in folder.glob("*") if not any(path.iterdir())]:
        path.rmdir()


def _install(aside: Path, final: Path, shards: list[Shard]) -> None:
    for folder in (*aside.iterdir(), aside):
        sync(folder)
    if final.is_dir() and all(_intact(final, shard) for shard in shards):
        shutil.rmtree(aside)  # readers may have the files open: leave them as they are
    else:
        shutil.rmtree(final, ignore_errors=True)
        os.replace(aside, final)
        sync(final.parent)


def _intact(folder: Path, shard: Shard) -> bool:
    path = folder / shard.path
    return path.is_file() and _sync_and_digest(path) == shard.sha256


def generation_of(lines: Iterable[str]) -> str:
    """The generation of shards, each given as `path sha256`; the path is below the generation's folder."""
    return blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


def _below(shard: Shard, folder: str) -> Shard:
    return Shard(**asdict(shard) | {"path": f"{folder}/{shard.path}"})
