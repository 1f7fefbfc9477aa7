"""One generation of shards: written aside, named by its content, then made current."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pyarrow as pa

from recap.ledger import Shard
from recap.shards.cutting import Cutter, cut, intact
from recap.shards.notes import generation_of
from recap.shards.settings import OutputSettings
from recap.shards.stored import write_stored
from recap.storage import Location, children, is_store, remove_tree, sync

UNFINISHED = ".unfinished"


def write_generation(
    output: Location, batches: Iterable[pa.Table], settings: OutputSettings, video_root: Location | None = None
) -> tuple[str, list[Shard]]:
    """Cut ordered records into shards below `<output>/shards/<generation>`.

    Returns the generation and its shards. Memory is bounded by `rows_per_shard` records. The
    same records give the same name, so writing a generation twice is harmless. Whoever dies while
    writing leaves the shards that were done, and the next attempt takes those whose rows are the same.
    """
    aside = output / "shards" / UNFINISHED
    if is_store(output):
        return write_stored(aside, batches, settings, video_root)
    aside.mkdir(parents=True, exist_ok=True)
    shards = cut(batches, settings, video_root, partial(Cutter, aside))
    _delete_others(aside, shards)
    generation = generation_of(f"{shard.path} {shard.sha256}" for shard in shards)
    _install(aside, output / "shards" / generation, shards)
    return generation, [shard.below(f"shards/{generation}") for shard in shards]


def delete_other_generations(output: Location, current: str) -> None:
    """Remove every generation but `current`, after the manifest has moved on."""
    for folder in children(output / "shards"):
        if folder.name != current:
            remove_tree(folder)


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
    if final.is_dir() and all(intact(final, shard) for shard in shards):
        shutil.rmtree(aside)  # readers may have the files open: leave them as they are
    else:
        shutil.rmtree(final, ignore_errors=True)
        os.replace(aside, final)
        sync(final.parent)
