"""A generation in an object store: nothing can be renamed there, so shards wait under the sum of their bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from recap.ledger import Damaged, Shard, read_document
from recap.shards.cutting import Cutter, cut
from recap.shards.notes import generation_of
from recap.shards.settings import OutputSettings
from recap.storage import Location, copy, stored_files, upload


def write_stored(
    aside: Location, batches: Iterable[pa.Table], settings: OutputSettings, video_root: Location | None
) -> tuple[str, list[Shard]]:
    """As `write_generation`, of shards that are cut one by one on the disk and uploaded to `aside`.

    Bytes that the store has, in `aside` or in the generation that readers see, are not uploaded again:
    it copies them within itself.
    """
    known = _Contents(aside)
    with tempfile.TemporaryDirectory() as folder:
        shards = cut(batches, settings, video_root, partial(_Uploader, known, Path(folder)))
    generation = generation_of(f"{shard.path} {shard.sha256}" for shard in shards)
    known.install(generation, shards)
    return generation, [shard.below(f"shards/{generation}") for shard in shards]


class _Contents:
    """What lies below `<output>/shards`: `sizes` by name, and of what can be told by its sum, where it is."""

    def __init__(self, aside: Location):
        self.aside, self.home = aside, aside.parent
        self.sizes = stored_files(self.home, "**/*", trust_size=True)
        lines = [(line["sha256"], line["path"].removeprefix("shards/"), line["bytes"]) for line in self._listed()]
        self.names = {sha256: name for sha256, name, size in lines if self.sizes.get(name) == str(size)}
        prefix = f"{aside.name}/"
        self.names |= {name.removeprefix(prefix): name for name in self.sizes if name.startswith(prefix)}

    def _listed(self) -> list[dict[str, Any]]:
        """The shards of the manifest; none where it is damaged, as it is about to be written anew."""
        with suppress(Damaged):
            return (read_document(self.home.parent, "manifest.json") or {"shards": []})["shards"]
        return []

    def keep(self, shard: Shard, file: Path) -> None:
        if shard.sha256 not in self.names:
            upload(file, self.aside / shard.sha256)
            self.names[shard.sha256] = f"{self.aside.name}/{shard.sha256}"

    def install(self, generation: str, shards: Iterable[Shard]) -> None:
        for shard in shards:
            name = f"{generation}/{shard.path}"
            if self.sizes.get(name) != str(shard.bytes):
                copy(self.home / self.names[shard.sha256], self.home / name)


class _Uploader(Cutter):
    """Uploads each shard when it is cut, and deletes it here."""

    def __init__(self, known: _Contents, folder: Path, *arguments, **options):
        super().__init__(folder, *arguments, **options)
        self.known = known

    def _cut(self, rows: pa.Table) -> None:
        shard = self._write(self.name.format(len(self.shards)), rows.combine_chunks())
        self.known.keep(shard, self.folder / shard.path)
        (self.folder / shard.path).unlink()
        self.shards.append(shard)
