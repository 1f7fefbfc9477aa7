"""Which clips are done, and their records in order."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recap.ledger.fragments import read_fragments
from recap.ledger.schema import shard_schema
from recap.ledger.snapshot import extra_fields, present

OPEN_FRAGMENTS = 64


class Committed:
    """The records of one caption key against one snapshot.

    `where[i]` says which fragment holds the winning record of the i-th present clip, -1 where it
    is missing; `row[i]` which of its rows.
    """

    def __init__(self, snapshot: pa.Table, folder: Path):
        self.clips = present(snapshot)
        self.paths: list[Path] = []
        self.where = np.full(len(self.clips), -1, np.int32)
        self.row = np.zeros(len(self.clips), np.int32)
        self._kinds: list[tuple[str, str]] = []
        self._kind = np.full(len(self.clips), -1, np.int16)
        self._index(folder)

    def missing(self, limit: int | None = None) -> pa.Table:
        """The clips without a record, among the first `limit`."""
        return self.clips.slice(0, limit).filter(pa.array(self.where[:limit] < 0))

    def counts(self) -> Counter[str]:
        """Clips per status."""
        counts: Counter[str] = Counter()
        for (status, _), number in self._kind_counts():
            counts[status] += number
        return counts

    def reasons(self) -> Counter[str]:
        """Clips that were not captioned, per `stage/kind`."""
        return Counter({reason: n for (_, reason), n in self._kind_counts() if reason})

    def _kind_counts(self) -> Iterator[tuple[tuple[str, str], int]]:
        numbers = np.bincount(self._kind[self._kind >= 0], minlength=len(self._kinds))
        yield from zip(self._kinds, (int(n) for n in numbers), strict=True)

    def batches(self, rows: int = 1024) -> Iterator[pa.Table]:
        """The records in order of ordinal, `rows` clips at a time, with the caller's columns behind."""
        schema = shard_schema(extra_fields(self.clips))
        cache: OrderedDict[int, pa.Table] = OrderedDict()
        for start in range(0, len(self.clips), rows):
            part = slice(start, start + rows)
            done = self.where[part] >= 0
            if done.any():
                records = self._gather(self.where[part][done], self.row[part][done], cache)
                yield _join(records, self.clips.slice(start, rows).filter(pa.array(done)), schema)

    def _gather(self, where: np.ndarray, row: np.ndarray, cache: OrderedDict[int, pa.Table]) -> pa.Table:
        order = np.argsort(where, kind="stable")
        pieces = [
            self._fragment(int(number), cache).take(pa.array(row[order][where[order] == number]))
            for number in np.unique(where)
        ]
        return pa.concat_tables(pieces).take(pa.array(np.argsort(order, kind="stable")))

    def _fragment(self, number: int, cache: OrderedDict[int, pa.Table]) -> pa.Table:
        if number not in cache:
            cache[number] = pq.read_table(self.paths[number])
            if len(cache) > OPEN_FRAGMENTS:
                cache.popitem(last=False)
        cache.move_to_end(number)
        return cache[number]

    def _index(self, folder: Path) -> None:
        wanted = _identities(self.clips)
        for number, (path, table) in enumerate(read_fragments(folder)):
            self.paths.append(path)
            place = pc.index_in(_identities(table), wanted)
            known = place.is_valid().to_numpy(zero_copy_only=False)
            clips, rows = place.drop_null().to_numpy(), np.flatnonzero(known)
            clips, first = np.unique(clips, return_index=True)
            rows = rows[first]
            fresh = self.where[clips] < 0
            self.where[clips[fresh]], self.row[clips[fresh]] = number, rows[fresh]
            self._kind[clips[fresh]] = self._number_kinds(table)[rows[fresh]]

    def _number_kinds(self, table: pa.Table) -> np.ndarray:
        columns = (table[name].to_pylist() for name in ("status", "error_stage", "error_kind"))
        numbers = []
        for status, stage, kind in zip(*columns, strict=True):
            pair = (status, f"{stage}/{kind}" if stage else "")
            if pair not in self._kinds:
                self._kinds.append(pair)
            numbers.append(self._kinds.index(pair))
        return np.array(numbers, np.int16)


def _identities(table: pa.Table) -> pa.Array:
    """16 bytes for each `(clip_id, source_version)`."""
    pairs = zip(table["clip_id"].to_pylist(), table["source_version"].to_pylist(), strict=True)
    digests = [blake2b(f"{clip}:{version}".encode(), digest_size=16).digest() for clip, version in pairs]
    return pa.array(digests, pa.binary(16))


def _join(records: pa.Table, clips: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [clips[name] if name in clips.column_names else records[name] for name in schema.names]
    return pa.table([column.combine_chunks() for column in columns], schema=schema)
