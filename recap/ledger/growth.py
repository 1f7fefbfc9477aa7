"""What a corpus has become since the output last saw it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recap.ledger.rows import common_schema
from recap.ledger.sealed import write_sealed
from recap.ledger.snapshot import (
    PART_ROWS,
    PRESENT,
    VANISHED,
    Snapshot,
    open_part,
    part_name,
    part_paths,
    read_snapshot,
)
from recap.storage import Location

_STEP = 4096


@dataclass(frozen=True)
class Growth:
    """Clips that are new, whose file changed, that went, and that came back; `rows` is the part that says so."""

    new: int
    changed: int
    vanished: int
    returned: int
    rows: pa.Table = field(repr=False)


def update_snapshot(output: Location, scanned: pa.Table) -> tuple[Snapshot, Growth]:
    """Append what `scanned` (from `corpus.scan`) adds or changes.

    Raises ValueError, with nothing written, when a caller's column is of another type than before.
    """
    known = read_snapshot(output)
    growth = compare(known, scanned)
    return grow(output, known, growth), growth


def grow(output: Location, known: Snapshot | None, growth: Growth) -> Snapshot:
    """What the output knows once the rows of `growth`, its difference from what was `known`, are appended."""
    if known is not None and not len(growth.rows):
        return known
    part = output / "snapshot" / part_name(len(part_paths(output)))
    write_sealed(part, growth.rows, row_group=PART_ROWS)
    snapshot = read_snapshot(output)
    assert snapshot is not None, output
    return snapshot


def foresee_snapshot(output: Location, scanned: pa.Table) -> tuple[Snapshot, Growth]:
    """What `update_snapshot` would give, with nothing written: its rows cannot be read."""
    snapshot = read_snapshot(output)
    growth = compare(snapshot, scanned)
    snapshot = snapshot or Snapshot(growth.rows.schema, [])
    snapshot.add(growth.rows)
    return snapshot, growth


def compare(snapshot: Snapshot | None, scanned: pa.Table) -> Growth:
    """How `scanned` differs from what the output knows.

    Raises ValueError for a column of a type that has nothing in common with what it was.
    """
    if snapshot is None:
        rows = _with_ordinals(scanned, 0)
        return Growth(len(rows), 0, 0, 0, rows)
    schema, scanned = _in_common_types(snapshot.schema, scanned)
    return _compare(_Known(snapshot, schema), scanned)


class _Known:
    """A snapshot read column by column, each in order of ordinal and in the type that `schema` has for it."""

    def __init__(self, snapshot: Snapshot, schema: pa.Schema):
        self.snapshot, self.schema = snapshot, schema
        self._files = [open_part(path) for path in snapshot.paths]

    def column(self, name: str, ordinals: np.ndarray | pa.Array) -> pa.ChunkedArray:
        """Values of some clips."""
        chunks = [
            file.read([name])[name]
            if name in file.schema_arrow.names
            else pa.chunked_array([pa.nulls(file.metadata.num_rows)])
            for file in self._files
        ]
        kind = self.schema.field(name).type
        try:
            values = pa.chunked_array([part for chunk in chunks for part in chunk.cast(kind).chunks], kind)
        except pa.ArrowInvalid:
            raise _other_type(name, chunks[0].type, kind) from None
        return values.take(pa.array(self._places()).take(pa.array(ordinals)))

    def _places(self) -> np.ndarray:
        starts = np.cumsum([0, *(file.metadata.num_rows for file in self._files)])[:-1]
        return self.snapshot.places(starts)


def _compare(known: _Known, scanned: pa.Table) -> Growth:
    snapshot = known.snapshot
    ids = known.column("clip_id", np.arange(len(snapshot))).combine_chunks()
    place = pc.index_in(scanned["clip_id"], ids)
    is_known = pc.is_valid(place)
    ordinals = place.drop_null().to_numpy()
    seen = _in_known_versions(scanned.filter(is_known), known.column("source_version", ordinals))
    is_changed = _differs(known, "source_version", ordinals, seen)
    is_back = ~snapshot.is_present[ordinals]
    is_news = is_changed | is_back | _says_otherwise(known, ordinals, seen)
    news = seen.filter(pa.array(is_news)).add_column(1, "ordinal", pa.array(ordinals[is_news]))
    gone = _gone(known, ordinals)
    added = _with_ordinals(scanned.filter(pc.invert(is_known)), len(snapshot))
    parts = [part for part in (_with_state(news, PRESENT), gone, added) if len(part)] or [added]
    rows = pa.concat_tables(parts, promote_options="permissive")
    return Growth(len(added), int(is_changed.sum()), len(gone), int(is_back.sum()), rows)


def _says_otherwise(known: _Known, ordinals: np.ndarray, seen: pa.Table) -> np.ndarray:
    """Where any column differs but those of the clip's identity, version and state."""
    names = {*seen.column_names, *known.schema.names} - {"clip_id", "ordinal", "source_version", "state"}
    otherwise = np.zeros(len(seen), bool)
    for name in names:
        otherwise |= _differs(known, name, ordinals, seen)
    return otherwise


def _gone(known: _Known, seen: np.ndarray) -> pa.Table:
    """The clips that were there and are not among the ordinals `seen`."""
    is_gone = known.snapshot.is_present.copy()
    is_gone[seen] = False
    ordinals = np.flatnonzero(is_gone)
    names = known.schema.names
    return _with_state(pa.table([known.column(name, ordinals) for name in names], names=names), VANISHED)


def _differs(known: _Known, name: str, ordinals: np.ndarray, seen: pa.Table) -> np.ndarray:
    """Where a column of `seen` is not what it was; a column that went, or came, counts as null."""
    blank = pa.chunked_array([pa.nulls(len(seen))])
    after = seen[name] if name in seen.column_names else blank
    before = known.column(name, ordinals) if name in known.schema.names else blank
    if pa.types.is_null(after.type) or pa.types.is_null(before.type):
        return pc.xor(pc.is_null(after), pc.is_null(before)).to_numpy()
    return _unequal(before, after)


def _unequal(before: pa.ChunkedArray, after: pa.ChunkedArray) -> np.ndarray:
    """Where two columns of one type differ; null is like null, NaN like NaN."""
    try:
        differs = pc.fill_null(pc.not_equal(before, after), False)
    except pa.ArrowNotImplementedError:  # lists and structs
        return _unequal_nested(before, after)
    if pa.types.is_floating(after.type):
        both_nan = pc.fill_null(pc.and_(pc.is_nan(before), pc.is_nan(after)), False)
        differs = pc.and_not(differs, both_nan)
    return pc.or_(differs, pc.xor(pc.is_null(before), pc.is_null(after))).to_numpy()


def _unequal_nested(before: pa.ChunkedArray, after: pa.ChunkedArray) -> np.ndarray:
    result = np.zeros(len(after), bool)
    for start in range(0, len(after), _STEP):
        part = slice(start, start + _STEP)
        pairs = zip(before[part].to_pylist(), after[part].to_pylist(), strict=True)
        result[part] = [repr(old) != repr(new) for old, new in pairs]
    return result


def _in_known_versions(seen: pa.Table, known: pa.ChunkedArray) -> pa.Table:
    """`seen`, where a version that is a size alone (`corpus.trust_size`) is the known one of that size."""
    now = seen["source_version"]
    is_same = pc.equal(pc.replace_substring_regex(known, "-.*", ""), now)
    return seen.set_column(seen.column_names.index("source_version"), "source_version", pc.if_else(is_same, known, now))


def _other_type(column: str, before: pa.DataType, now: pa.DataType) -> ValueError:
    return ValueError(
        f"corpus: column {column!r} held {before} when this output began and holds {now} now; "
        "convert it, or give it another name"
    )


def _in_common_types(known: pa.Schema, scanned: pa.Table) -> tuple[pa.Schema, pa.Table]:
    """Both with each column in a type that holds what it was and what it is: csv and jsonl have none of their own."""
    for place, field_ in enumerate(scanned.schema):
        if field_.name not in known.names:
            continue
        before = known.field(field_.name)
        try:
            common = common_schema([pa.schema([before]), pa.schema([field_])]).field(0)
            scanned = scanned.set_column(place, field_.name, scanned[field_.name].cast(common.type))
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            raise _other_type(field_.name, before.type, field_.type) from None
        known = known.set(known.get_field_index(field_.name), common)
    return known, scanned


def _with_ordinals(rows: pa.Table, first: int) -> pa.Table:
    ordinals = pa.array(np.arange(first, first + len(rows)), pa.int64())
    return _with_state(rows.add_column(1, "ordinal", ordinals), PRESENT)


def _with_state(rows: pa.Table, state: str) -> pa.Table:
    values = pa.repeat(pa.scalar(state), len(rows))
    if "state" in rows.column_names:
        return rows.set_column(rows.column_names.index("state"), "state", values)
    return rows.append_column("state", values)
