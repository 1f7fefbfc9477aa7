"""A generation in an object store: nothing can be renamed there, so shards wait under the sum of their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial

import pyarrow as pa

from recap.ledger import Damaged, Manifest, Shard, find_document
from recap.shards.cutting import Place, cut
from recap.shards.notes import NOTES, Note, as_bytes, generation_of, key_of, read_notes, writers
from recap.shards.settings import OutputSettings
from recap.shards.videos import Videos
from recap.shards.writing import upload_shard
from recap.storage import Location, copy, stored_files, write_atomically


def write_stored(
    aside: Location,
    batches: Iterable[pa.Table],
    settings: OutputSettings,
    videos: Videos | None,
    executor: Executor,
) -> tuple[str, list[Shard]]:
    """As `write_generation`, of shards that are cut one by one on the disk and uploaded to `aside`.

    Bytes that the store has, in `aside` or in the generation that readers see, are not uploaded again:
    it copies them within itself.
    """
    known = _Contents(aside)
    shards, notes = cut(batches, settings, videos, _Uploaded(known), executor)
    generation = generation_of(f"{shard.path} {shard.sha256}" for shard in shards)
    known.install(generation, shards, as_bytes(notes))
    return generation, [shard.below(f"shards/{generation}") for shard in shards]


class _Contents:
    """What lies below `<output>/shards`: `sizes` by name, and of what can be told by its sum, where it is."""

    def __init__(self, aside: Location):
        self.aside, self.home = aside, aside.parent
        self.sizes = stored_files(self.home, "**/*", trust_size=True)
        lines = [(shard.sha256, shard.path.removeprefix("shards/"), shard.bytes) for shard in self._listed()]
        self.names = {sha256: name for sha256, name, size in lines if self.sizes.get(name) == str(size)}
        self.notes = dict(self._noted())
        prefix = f"{aside.name}/"
        self.names |= {name.removeprefix(prefix): name for name in self.sizes if name.startswith(prefix)}

    def _listed(self) -> list[Shard]:
        """The shards of the manifest; none where it is damaged, as it is about to be written anew."""
        with suppress(Damaged):
            if manifest := find_document(self.home.parent, Manifest):
                return manifest.shards
        return []

    def _noted(self) -> Iterator[tuple[tuple[str, str], Note]]:
        """The notes of all generations, that of an attempt that died before the manifest moved on among them."""
        for name in [name for name in self.sizes if name.endswith(f"/{NOTES}")]:
            generation = name.removesuffix(f"/{NOTES}")
            for key, note in read_notes(self.home / generation).items():
                name = f"{generation}/{note.shard.path}"
                if self.sizes.get(name) == str(note.shard.bytes):
                    self.names[note.shard.sha256] = name
                    yield key, note

    def install(self, generation: str, shards: Iterable[Shard], notes: bytes) -> None:
        for shard in shards:
            name = f"{generation}/{shard.path}"
            if self.sizes.get(name) != str(shard.bytes):
                copy(self.home / self.names[shard.sha256], self.home / name)
        if notes != as_bytes(read_notes(self.home / generation).values()):
            write_atomically(self.home / generation / NOTES, notes)


class _Uploaded(Place):
    """Each shard is uploaded where it is cut."""

    def __init__(self, known: _Contents):
        self.known = known
        self.make = partial(upload_shard, known.aside, frozenset(known.names), writers())

    def find(self, name: str, source: str) -> Note | None:
        note = self.known.notes.get(key_of(name, source))
        return note and note.named(name)

    def keep(self, note: Note) -> bool:
        sha256 = note.shard.sha256
        self.known.names.setdefault(sha256, f"{self.known.aside.name}/{sha256}")
        return True
