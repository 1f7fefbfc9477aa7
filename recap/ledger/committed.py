"""Which clips are done, and their records in order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recap.ledger.fragments import Fragment, pass_over, read_fragments
from recap.ledger.identity import as_arrow, identities
from recap.ledger.rows import RowReader
from recap.ledger.schema import FRAGMENT, shard_schema
from recap.ledger.snapshot import Snapshot
from recap.records import CAPTIONED, STATUSES
from recap.storage import Location

GLANCES, GLANCE_EVERY_S = 20, 1.0  # a merge of what hundreds of workers committed takes some seconds
BATCH_ROWS = 4096
_GATHERED = 1_000_000  # records that are looked up together


class Committed:
    """The records of one caption key against one snapshot.

    `where[i]` says which fragment holds the record of clip i that counts, -1 where it is missing;
    `row[i]` which of its rows. Fragments are known by their number in `paths`, and `rows_in` counts
    their rows. `on_torn` is told of what cannot be read as a fragment.
    """

    def __init__(self, snapshot: Snapshot, folder: Location, on_torn: Callable[[Location, str], None] = pass_over):
        self.snapshot = snapshot
        self.paths: list[Location] = []
        self.rows_in: dict[Location, int] = {}
        self.where = np.full(len(snapshot), -1, np.int32)
        self.row = np.zeros(len(snapshot), np.int32)
        self._kind = np.full(len(snapshot), -1, np.int16)
        self._since = 0  # fragments from this one on come before those in front of it
        self._kinds: dict[tuple[str, str], int] = {}
        self._index(folder, on_torn)

    def missing(self, limit: int | None = None) -> np.ndarray:
        """The ordinals of the clips without a record, among the first `limit`."""
        present = self.snapshot.present[:limit]
        return present[self.where[present] < 0]

    def quarantined(self, reason: str) -> np.ndarray:
        """The ordinals of what was not captioned: `reason` is a stage, a kind, or `stage/kind`."""
        wanted = [number for (_, full), number in self._kinds.items() if full and reason in (full, *full.split("/", 1))]
        return np.flatnonzero(np.isin(self._kind, wanted) & self.snapshot.is_present)

    def counts(self) -> Counter[str]:
        """Clips per status."""
        counts: Counter[str] = Counter()
        for (status, _), number in self._kind_counts():
            counts[status] += number
        return counts

    def books(self) -> dict[str, int]:
        """`clips = captioned + quarantined + filtered + remaining`, asserted."""
        counts = self.counts()
        books = {"clips": len(self.snapshot.present)} | {status: counts[status] for status in STATUSES}
        books["remaining"] = books["clips"] - counts.total()
        assert books["remaining"] == len(self.missing()), books
        return books

    def reasons(self) -> Counter[str]:
        """Clips that were not captioned, per `stage/kind`."""
        return Counter({reason: n for (_, reason), n in self._kind_counts() if reason and n})

    def _kind_counts(self) -> Iterator[tuple[tuple[str, str], int]]:
        numbers = np.bincount(self._kind[(self._kind >= 0) & self.snapshot.is_present], minlength=len(self._kinds))
        yield from zip(self._kinds, (int(n) for n in numbers), strict=True)

    @property
    def done(self) -> np.ndarray:
        """The ordinals of the clips with a record."""
        present = self.snapshot.present
        return present[self.where[present] >= 0]

    @property
    def captioned(self) -> np.ndarray:
        """The ordinals of the clips with a caption."""
        kinds = [number for (status, _), number in self._kinds.items() if status == CAPTIONED]
        return np.flatnonzero(np.isin(self._kind, kinds) & self.snapshot.is_present)

    def lacking(self, texts: Committed, limit: int | None = None) -> np.ndarray:
        """The ordinals of the clips with a caption that has no translation among `texts`, among the first `limit`."""
        captioned = self.captioned
        if limit is not None:
            captioned = np.intersect1d(captioned, self.snapshot.present[:limit], assume_unique=True)
        return captioned[texts.where[captioned] < 0]

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.Table]:
        """The records in order of ordinal, `rows` clips at a time, with the caller's columns behind."""
        schema, parts = shard_schema(self.snapshot.extra_fields), self.snapshot.reader()
        for ordinals, records in self.records(self.done, FRAGMENT.names, rows):
            yield _join(records, self.snapshot.rows(ordinals, parts), schema)

    def records(
        self, ordinals: np.ndarray, names: Sequence[str], rows: int = BATCH_ROWS
    ) -> Iterator[tuple[np.ndarray, pa.Table]]:
        """Some columns of the records of `ordinals`, `rows` of them at a time."""
        lengths = [self.rows_in[path] for path in self.paths]
        reader = RowReader(self.paths, pa.schema([FRAGMENT.field(name) for name in names]), lengths)
        for start in range(0, len(ordinals), rows):
            some = ordinals[start : start + rows]
            yield some, reader.take(self.where[some], self.row[some])

    def _index(self, folder: Location, on_torn: Callable[[Location, str], None]) -> None:
        known, gathered, rows = as_arrow(self.snapshot.identity), [], 0
        for fragment in read_fragments(folder, on_torn):
            if fragment.is_retry or rows >= _GATHERED:
                self._count_in(gathered, known)
                gathered, rows = [], 0
            if fragment.is_retry:
                self._forget(fragment, known)
            else:
                gathered.append(fragment)
                rows += len(fragment.table)
        self._count_in(gathered, known)

    def _count_in(self, fragments: list[Fragment], known: pa.Array) -> None:
        """Let some fragments count that come behind all others."""
        if not fragments:
            return
        number, row = _addresses(fragments, len(self.paths))
        self.paths += [fragment.path for fragment in fragments]
        self.rows_in |= {fragment.path: len(fragment.table) for fragment in fragments}
        table = pa.concat_tables([fragment.table for fragment in fragments])
        self._win(*_first_rows(table, known), number, row, self._number_kinds(table))

    def _win(self, clips: np.ndarray, first: np.ndarray, number: np.ndarray, row: np.ndarray, kind: np.ndarray) -> None:
        """The first record of a clip counts, unless it has one from before that no torn mark may have ended."""
        fresh = self.where[clips] < self._since
        clips, first = clips[fresh], first[fresh]
        self.where[clips], self.row[clips], self._kind[clips] = number[first], row[first], kind[first]

    def _forget(self, mark: Fragment, known: pa.Array) -> None:
        """Let no record count any more that is of a marked clip; of a torn mark, any clip may be one."""
        clips, _ = _first_rows(mark.table, known)
        self.where[clips], self._kind[clips] = -1, -1
        if mark.is_torn:
            self._since = len(self.paths)

    def _number_kinds(self, table: pa.Table) -> np.ndarray:
        stage, kind = (pc.fill_null(table[name], "") for name in ("error_stage", "error_kind"))
        encoded = pc.binary_join_element_wise(table["status"], stage, kind, "\0").combine_chunks().dictionary_encode()
        numbers = [self._number(*text.split("\0")) for text in encoded.dictionary.to_pylist()]
        return np.array(numbers, np.int16)[encoded.indices.to_numpy()]

    def _number(self, status: str, stage: str, kind: str) -> int:
        return self._kinds.setdefault((status, f"{stage}/{kind}" if stage else ""), len(self._kinds))


def observe(snapshot: Snapshot, folder: Location) -> Committed:
    """What is committed, read without the lease: a run may be merging fragments meanwhile."""
    for _ in range(GLANCES):
        with suppress(FileNotFoundError):
            return Committed(snapshot, folder)
        time.sleep(GLANCE_EVERY_S)
    return Committed(snapshot, folder)


def untranslated(committed: Committed, folders: Mapping[str, Location], limit: int | None = None) -> dict[str, int]:
    """How many captioned clips lack each language, among the first `limit`; their translations are in `folders`.

    Read without the lease.
    """
    return {
        language: len(committed.lacking(observe(committed.snapshot, folder), limit))
        for language, folder in folders.items()
    }


def _addresses(fragments: list[Fragment], first: int) -> tuple[np.ndarray, np.ndarray]:
    """For the rows of some fragments laid end to end: the fragment's number, from `first` on, and the row in it."""
    lengths = [len(fragment.table) for fragment in fragments]
    number = np.repeat(np.arange(first, first + len(fragments), dtype=np.int32), lengths)
    return number, np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])


def _first_rows(table: pa.Table, known: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The ordinals of the known clips, in the known version, that the rows are of; and for each, the first row.

    The rows are what is hashed: they are fewer than all clips.
    """
    rows = pc.index_in(known, as_arrow(identities(table["clip_id"], table["source_version"])))
    return np.flatnonzero(rows.is_valid().to_numpy(zero_copy_only=False)), rows.drop_null().to_numpy()


def _join(records: pa.Table, clips: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [clips[name] if name in clips.column_names else records[name] for name in schema.names]
    return pa.table([column.combine_chunks() for column in columns], schema=schema)
