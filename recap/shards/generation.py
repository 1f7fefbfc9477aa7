"""One generation of shards: written aside, named by its content, then made current."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pyarrow as pa

from recap.ledger import Shard
from recap.shards.cutting import Place, cut
from recap.shards.notes import NOTES, Note, add_note, as_bytes, generation_of, key_of, read_notes, writers
from recap.shards.settings import OutputSettings
from recap.shards.stored import write_stored
from recap.shards.videos import Videos
from recap.shards.writing import Here, sync_and_digest, write_shard
from recap.storage import Location, children, is_store, remove_tree, sync, write_atomically

UNFINISHED = ".unfinished"
log = logging.getLogger(__name__)


def write_generation(
    output: Location,
    batches: Iterable[pa.Table],
    settings: OutputSettings,
    videos: Videos | None = None,
    executor: Executor | None = None,
) -> tuple[str, list[Shard]]:
    """Cut ordered records into shards below `<output>/shards/<generation>`; `executor` writes them, or this thread.

    Returns the generation and its shards. Memory is bounded by `rows_per_shard` records, and a few videos, for each
    that is written at a time. The same records give the same name, so writing a generation twice is harmless. What the
    generation before it, or an attempt that died, has of the same rows is taken from there.
    """
    aside, executor = output / "shards" / UNFINISHED, executor or Here()
    if is_store(output):
        return write_stored(aside, batches, settings, videos, executor)
    aside.mkdir(parents=True, exist_ok=True)
    shards, notes = cut(batches, settings, videos, _Aside(aside), executor)
    write_atomically(aside / NOTES, as_bytes(notes))
    _delete_others(aside, shards)
    generation = generation_of(f"{shard.path} {shard.sha256}" for shard in shards)
    _install(aside, output / "shards" / generation, shards)
    return generation, [shard.below(f"shards/{generation}") for shard in shards]


def delete_other_generations(output: Location, current: str) -> None:
    """Remove every generation but `current`, after the manifest has moved on."""
    for folder in children(output / "shards"):
        if folder.name != current:
            remove_tree(folder)


class _Aside(Place):
    """A folder beside the generations, whose finished shards become links in it."""

    def __init__(self, folder: Path):
        self.folder, self.make = folder, partial(write_shard, folder, writers())
        others = [each for each in children(folder.parent) if each != folder]
        self.known = [(each, read_notes(each)) for each in (folder, *others)]

    def find(self, name: str, source: str) -> Note | None:
        for home, notes in self.known:
            note = notes.get(key_of(name, source))
            if note and self._linked(home / note.shard.path, name) and _is_sound(self.folder, note.named(name).shard):
                return note.named(name)
        return None

    def keep(self, note: Note) -> bool:
        target = self.folder / note.shard.path
        target.parent.mkdir(exist_ok=True)
        try:
            os.replace(self.folder / note.shard.sha256, target)
        except FileNotFoundError:
            log.warning("a node does not write to %s as the driver sees it; is it the same folder?", self.folder.parent)
            return False
        if note.source:
            add_note(self.folder, note)
        return True

    def _linked(self, path: Path, name: str) -> bool:
        target = self.folder / name
        if path != target:
            target.parent.mkdir(exist_ok=True)
            target.unlink(missing_ok=True)
            with suppress(OSError):  # not every disk has links
                os.link(os.path.realpath(path), target)
        return target.exists()


def _delete_others(folder: Path, shards: list[Shard]) -> None:
    """What an earlier attempt left that this one did not ask for."""
    wanted = {folder / NOTES, *(folder / shard.path for shard in shards)}
    for path in [path for path in folder.rglob("*") if path.is_file() and path not in wanted]:
        path.unlink()
    for path in [path for path in folder.glob("*") if path.is_dir() and not any(path.iterdir())]:
        path.rmdir()


def _install(aside: Path, final: Path, shards: list[Shard]) -> None:
    _sync_all(aside)
    if not final.is_dir():
        os.replace(aside, final)
        sync(final.parent)
        return
    for shard in shards:  # readers may have the files open: those that are sound are left as they are
        if not _is_there(final, aside, shard):
            (final / shard.path).parent.mkdir(exist_ok=True)
            os.replace(aside / shard.path, final / shard.path)
    os.replace(aside / NOTES, final / NOTES)
    _sync_all(final)
    shutil.rmtree(aside)


def _sync_all(folder: Path) -> None:
    for each in (*(path for path in folder.iterdir() if path.is_dir()), folder):
        sync(each)


def _is_there(final: Path, aside: Path, shard: Shard) -> bool:
    """A link was looked at when it was made."""
    path = final / shard.path
    return (path.exists() and path.samefile(aside / shard.path)) or _is_sound(final, shard)


def _is_sound(folder: Path, shard: Shard) -> bool:
    """Whether a folder holds a shard, every byte of it."""
    try:
        return sync_and_digest(folder / shard.path) == shard.sha256
    except OSError:
        return False
