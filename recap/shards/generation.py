"""One generation of shards: written aside, named by its content, then made current."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from hashlib import blake2b, file_digest
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recap.records import CAPTIONED
from recap.shards.parquet import write_parquet
from recap.shards.settings import OutputSettings
from recap.shards.webdataset import write_webdataset

UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Shard:
    """A line of the manifest. `path` is relative to the output folder."""

    path: str
    kind: str
    rows: int
    bytes: int
    sha256: str
    first_clip_id: str
    last_clip_id: str


def write_generation(
    output: Path, batches: Iterable[pa.Table], settings: OutputSettings, video_root: Path | None = None
) -> tuple[str, list[Shard]]:
    """Cut ordered records into shards below `<output>/shards/<generation>`.

    Returns the generation and its shards. Memory is bounded by `rows_per_shard` records. The
    same records give the same name, so writing a generation twice is harmless.
    """
    aside = output / "shards" / UNFINISHED
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    shards = _write(aside, batches, settings, video_root if settings.include_video else None)
    generation = _name(shards)
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

    cutters = [_Cutter(folder, "quarantine/data-{:05d}.parquet", write_parquet, settings.rows_per_shard)]
    if "parquet" in settings.formats:
        cutters.append(_Cutter(folder, "parquet/data-{:05d}.parquet", write_parquet, settings.rows_per_shard))
    if "webdataset" in settings.formats:
        cutters.append(_Cutter(folder, "webdataset/train-{:06d}.tar", tar, settings.rows_per_shard))
    for batch in batches:
        captioned = pc.equal(batch["status"], CAPTIONED)
        cutters[0].add(batch.filter(pc.invert(captioned)))
        for cutter in cutters[1:]:
            cutter.add(batch.filter(captioned))
    return [shard for cutter in cutters for shard in cutter.close()]


class _Cutter:
    """Gathers rows and writes a shard whenever it has enough."""

    def __init__(self, folder: Path, name: str, write: Callable[[pa.Table, Path], None], rows_per_shard: int):
        self.folder, self.name, self.write, self.rows_per_shard = folder, name, write, rows_per_shard
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
        name = self.name.format(len(self.shards))
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        self.write(rows.combine_chunks(), path)
        ids = rows["clip_id"]
        digest = _sync_and_digest(path)
        kind = name.split("/", 1)[0]
        self.shards.append(Shard(name, kind, len(rows), path.stat().st_size, digest, ids[0].as_py(), ids[-1].as_py()))


def _sync_and_digest(path: Path) -> str:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return file_digest(file, "sha256").hexdigest()


def _install(aside: Path, final: Path, shards: list[Shard]) -> None:
    if final.is_dir() and all(_intact(final, shard) for shard in shards):
        shutil.rmtree(aside)  # readers may have the files open: leave them as they are
    else:
        shutil.rmtree(final, ignore_errors=True)
        os.replace(aside, final)


def _intact(folder: Path, shard: Shard) -> bool:
    path = folder / shard.path
    return path.is_file() and _sync_and_digest(path) == shard.sha256


def _name(shards: list[Shard]) -> str:
    text = "\n".join(f"{shard.path} {shard.sha256}" for shard in shards)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _below(shard: Shard, folder: str) -> Shard:
    return Shard(**asdict(shard) | {"path": f"{folder}/{shard.path}"})
