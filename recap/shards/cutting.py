"""Ordered records, cut into shards of a fixed number of rows."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from recap.ledger import Shard
from recap.records import CAPTIONED
from recap.shards.notes import Note, source_digest
from recap.shards.parquet import write_parquet
from recap.shards.settings import OutputSettings
from recap.shards.videos import Videos
from recap.shards.webdataset import write_webdataset
from recap.shards.writing import Write

log = logging.getLogger(__name__)


class Place(ABC):
    """Where the shards of a generation go, and what is known of those that were finished before.

    `make(name, rows, source, write)` writes a shard that is not known, wherever it is called.
    """

    make: Callable[[str, pa.Table, str, Write], Note]

    @abstractmethod
    def find(self, name: str, source: str) -> Note | None:
        """The shard `name` as it was made of the same source before, once it is in its place."""

    @abstractmethod
    def keep(self, note: Note) -> bool:
        """Take what `make` has written; False where it is not to be seen."""


def cut(
    batches: Iterable[pa.Table], settings: OutputSettings, videos: Videos | None, place: Place, executor: Executor
) -> tuple[list[Shard], list[Note]]:
    """Cut ordered records into the shards of a generation. `executor` writes them, and this thread what it cannot.

    Returns them, and notes of those whose source decides what they are.
    """
    rows = settings.rows_per_shard
    cutters = [Cutter(place, executor, "quarantine/data-{:05d}.parquet", write_parquet, rows)]
    if "parquet" in settings.formats:
        cutters.append(Cutter(place, executor, "parquet/data-{:05d}.parquet", write_parquet, rows))
    if "webdataset" in settings.formats:
        cutters.append(_tars(place, executor, rows, videos if settings.include_video else None))
    for batch in batches:
        captioned = pc.equal(batch["status"], CAPTIONED)
        cutters[0].add(batch.filter(pc.invert(captioned)))
        for cutter in cutters[1:]:
            cutter.add(batch.filter(captioned))
    notes = [note for cutter in cutters for note in cutter.close()]
    return [note.shard for note in notes], [note for note in notes if note.source]


def _tars(place: Place, executor: Executor, rows: int, videos: Videos | None) -> Cutter:
    name = "webdataset/train-{:06d}.tar"
    if videos is None:
        return Cutter(place, executor, name, write_webdataset, rows)
    write = partial(write_webdataset, video_root=videos.root)
    return Cutter(place, executor, name, write, rows, videos.with_versions)


class Cutter:
    """Gathers rows and has a shard made whenever it has enough; `completed` is what `write` is given of them."""

    def __init__(
        self,
        place: Place,
        executor: Executor,
        name: str,
        write: Write,
        rows_per_shard: int,
        completed: Callable[[pa.Table], pa.Table] = lambda rows: rows,
    ):
        self.place, self.executor, self.name, self.write = place, executor, name, write
        self.rows_per_shard, self.completed = rows_per_shard, completed
        self.rows: list[pa.Table] = []
        self.notes: list[Note | None] = []  # of all shards
        self._made: dict[int, tuple[Callable[[], Note], Future[Note]]] = {}  # of those that are under way

    def add(self, rows: pa.Table) -> None:
        """Take the next rows."""
        if len(rows):
            self.rows.append(rows)
        while sum(map(len, self.rows)) >= self.rows_per_shard:
            table = pa.concat_tables(self.rows)
            self._cut(table.slice(0, self.rows_per_shard))
            self.rows = [table.slice(self.rows_per_shard)]

    def close(self) -> list[Note]:
        """Cut what is left; what there is to say of all shards, without a source where it does not decide all."""
        if any(map(len, self.rows)):
            self._cut(pa.concat_tables(self.rows))
        for number in list(self._made):
            self._keep(number)
        return self.notes

    def _cut(self, rows: pa.Table) -> None:
        name, rows = self.name.format(len(self.notes)), self.completed(rows.combine_chunks())
        source = source_digest(rows)
        self.notes.append(self.place.find(name, source))
        if self.notes[-1] is None:
            make = partial(self.place.make, name, rows, source, self.write)
            self._made[len(self.notes) - 1] = make, self.executor.submit(make)
        # In any order: each holds its rows until then, and one node may be slow.
        for number in [number for number, (_, made) in self._made.items() if made.done()]:
            self._keep(number)

    def _keep(self, number: int) -> None:
        make, made = self._made.pop(number)
        note = _outcome(made)
        if note is None or not self.place.keep(note):
            note = make()
            is_kept = self.place.keep(note)
            assert is_kept, f"{note.shard.path} went as soon as it was written"
        self.notes[number] = note


def _outcome(made: Future[Note]) -> Note | None:
    """None where another machine could not do it: this one can, or finds out why not."""
    try:
        return made.result()
    except Exception as error:
        log.warning("a node could not write a shard, so the driver does: %s", _last_line(error))
        log.info("what it said", exc_info=error)
        return None


def _last_line(error: Exception) -> str:
    """Ray's errors begin with the trace on the node."""
    return (str(error).strip() or repr(error)).splitlines()[-1]
