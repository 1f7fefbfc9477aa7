"""The corpus as the output knows it: append-only parts, ordinals that never move.

In memory a clip is 25 bytes; its address and the caller's columns stay on the disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recap.ids import WIDTH
from recap.ledger.identity import identities
from recap.ledger.rows import RowReader, common_schema
from recap.ledger.sealed import Torn, open_sealed
from recap.records import Clip
from recap.storage import Location, below, children

PRESENT, VANISHED = "present", "vanished"
OWN = ("clip_id", "ordinal", "uri", "source_version", "start_s", "end_s", "state")
PART_ROWS, GROUP_ROWS = 2**18, 8192  # in a part, and in each of its row groups, at most
CLIP = [name for name in OWN if name != "state"]
_STEP = 8192
_PART = re.compile(r"part-\d+\.parquet")


class Snapshot:
    """Every clip ever seen; the i-th has ordinal i.

    `identity` is `(clips, 16)` uint8, a digest of each clip and its source version; `is_present`
    tells which of them the corpus still has.
    """

    def __init__(self, schema: pa.Schema, paths: list[Location]):
        self.schema, self.paths, self._parts = schema, paths, 0
        self.identity = np.zeros((0, WIDTH), np.uint8)
        self.is_present = np.zeros(0, bool)
        self._part = np.zeros(0, np.int32)
        self._row = np.zeros(0, np.int32)

    def __len__(self) -> int:
        return len(self.is_present)

    @property
    def present(self) -> np.ndarray:
        """The ordinals of the clips that the corpus still has."""
        return np.flatnonzero(self.is_present)

    @property
    def extra_fields(self) -> list[pa.Field]:
        """The caller's columns."""
        return [field for field in self.schema if field.name not in OWN]

    def add(self, rows: pa.Table) -> None:
        """Take in the rows of the next part: later states overwrite earlier ones."""
        ordinals = rows["ordinal"].to_numpy()
        self._grow(int(ordinals.max()) + 1 if len(ordinals) else 0)
        self.identity[ordinals] = identities(rows["clip_id"], rows["source_version"])
        self.is_present[ordinals] = pc.equal(rows["state"], PRESENT).to_numpy()
        self._part[ordinals], self._row[ordinals] = self._parts, np.arange(len(rows))
        self._parts += 1

    def _grow(self, size: int) -> None:
        if size > len(self):
            for array in (self.identity, self.is_present, self._part, self._row):
                array.resize((size, *array.shape[1:]), refcheck=False)  # where it lies, if there is room

    def rows(self, ordinals: np.ndarray, reader: RowReader) -> pa.Table:
        """The last states of some clips, read with a `reader()` of this snapshot."""
        return reader.take(self._part[ordinals], self._row[ordinals])

    def reader(self, names: list[str] | None = None) -> RowReader:
        """Reads the columns `names` (all) of the parts."""
        schema = self.schema if names is None else pa.schema([self.schema.field(name) for name in names])
        return RowReader(self.paths, schema)

    def find(self, names: Sequence[str]) -> np.ndarray:
        """The ordinals of clips, ascending, each named by its id or, with all others of its file, by its address.

        Raises ValueError for names of none that the corpus still has.
        """
        wanted, reader, present = pa.array(names, pa.string()), self.reader(["clip_id", "uri"]), self.present
        found, unknown = [np.zeros(0, np.int64)], set(names)
        for start in range(0, len(present) if names else 0, _STEP):
            ordinals = present[start : start + _STEP]
            for column in self.rows(ordinals, reader).columns:
                here = pc.is_in(column, wanted)
                found.append(ordinals[here.to_numpy()])
                unknown -= set(column.filter(here).to_pylist())
        if unknown:
            raise ValueError(f"the corpus has no clip {', '.join(sorted(unknown))}")
        return np.unique(np.concatenate(found))

    def clips(self, ordinals: np.ndarray, root: Location) -> Clips:
        """Some clips below `root`."""
        return Clips(self, ordinals, root)


@dataclass(frozen=True)
class Clips:
    """Some clips of a snapshot, read one after the other as they are asked for."""

    snapshot: Snapshot
    ordinals: np.ndarray
    root: Location

    def __len__(self) -> int:
        return len(self.ordinals)

    def __iter__(self) -> Iterator[Clip]:
        reader = self.snapshot.reader(CLIP)
        for start in range(0, len(self), _STEP):
            for row in self.snapshot.rows(self.ordinals[start : start + _STEP], reader).to_pylist():
                yield Clip(location=below(self.root, row["uri"]), **row)


def part_paths(output: Location) -> list[Location]:
    """The parts in the order in which they were appended. Raises ValueError where one is missing."""
    parts = (path for path in children(output / "snapshot") if _PART.fullmatch(path.name))
    paths = sorted(parts, key=lambda path: int(path.stem.split("-")[1]))
    for number, path in enumerate(paths):
        if path.name != part_name(number):
            raise _broken(path.with_name(part_name(number)), "missing")
    return paths


def part_name(number: int) -> str:
    """Of the `number`-th part, counted from 0."""
    return f"part-{number:05d}.parquet"


def open_part(path: Location) -> pq.ParquetFile:
    """A part, every byte of it checked. Raises ValueError for a damaged one: ordinals cannot be made up."""
    try:
        return open_sealed(path)
    except Torn as error:
        raise _broken(path, f"damaged ({error})") from None


def _broken(part: Location, what: str) -> ValueError:
    return ValueError(
        f"{part} is {what}, and with it the order of the corpus; put it back from a copy, or choose another output.path"
    )


def read_snapshot(output: Location) -> Snapshot | None:
    """What the output knows of its corpus; None before the first run."""
    paths = part_paths(output)
    if not paths:
        return None
    snapshot = Snapshot(pa.schema([]), paths)
    schemas = [_take_in(snapshot, path) for path in paths]
    snapshot.schema = common_schema(schemas)
    return snapshot


def _take_in(snapshot: Snapshot, part: Location) -> pa.Schema:
    """Add a part, which is in memory only meanwhile."""
    file = open_part(part)
    snapshot.add(file.read(["clip_id", "ordinal", "source_version", "state"]))
    return file.schema_arrow
