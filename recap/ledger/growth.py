"""What a corpus has become since the output last saw it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recap.ids import packed
from recap.ledger.rows import Chunks, common_schema
from recap.ledger.sealed import write_sealed
from recap.ledger.snapshot import (
    GROUP_ROWS,
    PART_ROWS,
    PRESENT,
    VANISHED,
    Snapshot,
    part_name,
    read_snapshot,
)
from recap.storage import Location, spilled

PERMISSIVE = "permissive"
_STEP, _NESTED_STEP = 65_536, 4096  # clips that are compared at a time


@dataclass(frozen=True)
class Growth:
    """Clips that are new, whose file changed, that went, and that came back; `rows` are those that say so."""

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
    """What the output knows once the rows of `growth`, its difference from what was `known`, are appended.

    Who dies between two parts has appended the first of them; what the others would have said differs still.
    """
    if known is not None and not len(growth.rows):
        return known
    first = len(known.paths) if known is not None else 0
    for number, start in enumerate(range(0, len(growth.rows), PART_ROWS), first):
        part = output / "snapshot" / part_name(number)
        write_sealed(part, growth.rows.slice(start, PART_ROWS), row_group=GROUP_ROWS)
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
    """A snapshot whose columns are in the types that `schema` has for them."""

    def __init__(self, snapshot: Snapshot, schema: pa.Schema):
        self.snapshot, self.schema = snapshot, schema
        self._reader = snapshot.reader()

    def rows(self, ordinals: np.ndarray) -> pa.Table:
        """The last states of some clips."""
        rows = self.snapshot.rows(ordinals, self._reader)
        return pa.table([_cast(rows, field) for field in self.schema], names=self.schema.names)

    def ids(self) -> np.ndarray:
        """The packed ids of all clips."""
        reader, everyone = self.snapshot.reader(["clip_id"]), np.arange(len(self.snapshot))
        return np.concatenate([packed(self.snapshot.rows(some, reader)["clip_id"]) for some in _steps(everyone)])


def _steps(ordinals: np.ndarray) -> Iterator[np.ndarray]:
    return (ordinals[start : start + _STEP] for start in range(0, len(ordinals), _STEP))


def _cast(rows: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    before = rows[field.name]
    try:
        return before.cast(field.type)
    except pa.ArrowInvalid:
        raise _other_type(field.name, before.type, field.type) from None


def _compare(known: _Known, scanned: pa.Table) -> Growth:
    place, is_new = _places(known.ids(), scanned["clip_id"])
    added, counts = _with_ordinals(_chosen(scanned, is_new), len(known.snapshot)), Counter[str]()
    schema = _united(added.schema, known.schema)
    said = chain(_news(known, Chunks(scanned), place, counts), _gone(known, place, counts))
    rows = spilled(
        schema, (pa.concat_tables([schema.empty_table(), some], promote_options=PERMISSIVE) for some in said)
    )
    everything = pa.concat_tables([rows, added], promote_options=PERMISSIVE)
    return Growth(len(added), counts["changed"], counts["vanished"], counts["returned"], everything)


def _united(*schemas: pa.Schema) -> pa.Schema:
    fields = pa.unify_schemas(schemas, promote_options=PERMISSIVE)
    return pa.schema([field.with_nullable(True) for field in fields])


def _news(known: _Known, scanned: Chunks, place: np.ndarray, counts: Counter[str]) -> Iterator[pa.Table]:
    """What is not as it was of clips that are there."""
    for ordinals in _steps(np.flatnonzero(place >= 0)):
        before, now = known.rows(ordinals), scanned.take(place[ordinals])
        now = _in_known_version(now, before["source_version"])
        is_changed, is_back = _differs("source_version", before, now), ~known.snapshot.is_present[ordinals]
        counts.update(changed=int(is_changed.sum()), returned=int(is_back.sum()))
        is_news = is_changed | is_back | _says_otherwise(before, now)
        news = now.filter(pa.array(is_news)).add_column(1, "ordinal", pa.array(ordinals[is_news]))
        yield _with_state(news, PRESENT)


def _gone(known: _Known, place: np.ndarray, counts: Counter[str]) -> Iterator[pa.Table]:
    """The clips that were there and have no place any more."""
    for ordinals in _steps(np.flatnonzero(known.snapshot.is_present & (place < 0))):
        counts.update(vanished=len(ordinals))
        yield _with_state(known.rows(ordinals), VANISHED)


def _chosen(rows: pa.Table, is_chosen: np.ndarray) -> pa.Table:
    """Only stretches of which some rows are left out are copied."""
    stretches = [rows.slice(0, 0)]
    for start in range(0, len(rows), _STEP):
        some, stretch = is_chosen[start : start + _STEP], rows.slice(start, _STEP)
        stretches.append(stretch if some.all() else stretch.filter(pa.array(some)))
    return pa.concat_tables(stretches)


def _places(known: np.ndarray, clip_ids: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Of each known id the row of `clip_ids` that has it, -1 where there is none; and which rows are new."""
    order = cache(lambda: np.argsort(known))
    place, is_new = np.full(len(known), -1), np.zeros(len(clip_ids), bool)
    for start in range(0, len(clip_ids), _STEP):
        ids = packed(clip_ids[start : start + _STEP])
        ordinals = _ordinals(ids, known, order, start)
        is_known = known[ordinals] == ids
        place[ordinals[is_known]] = start + np.flatnonzero(is_known)
        is_new[start : start + len(ids)] = ~is_known
    return place, is_new


def _ordinals(ids: np.ndarray, known: np.ndarray, order: Callable[[], np.ndarray], first: int) -> np.ndarray:
    """Where each of `ids` is among the `known`, if it is; they are mostly in the order that they were in."""
    if np.array_equal(known[first : first + len(ids)], ids):
        return np.arange(first, first + len(ids))
    return order()[np.minimum(np.searchsorted(known, ids, sorter=order()), len(known) - 1)]


def _says_otherwise(before: pa.Table, now: pa.Table) -> np.ndarray:
    """Where any column differs but those of the clip's identity, version and state."""
    otherwise = np.zeros(len(now), bool)
    for name in {*now.column_names, *before.column_names} - {"clip_id", "ordinal", "source_version", "state"}:
        otherwise |= _differs(name, before, now)
    return otherwise


def _differs(name: str, before: pa.Table, now: pa.Table) -> np.ndarray:
    """Where a column is not what it was; one that went, or came, counts as null."""
    blank = pa.chunked_array([pa.nulls(len(now))])
    was, is_ = (rows[name] if name in rows.column_names else blank for rows in (before, now))
    if pa.types.is_null(is_.type) or pa.types.is_null(was.type):
        return pc.xor(pc.is_null(is_), pc.is_null(was)).to_numpy()
    return _unequal(was, is_)


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
    for start in range(0, len(after), _NESTED_STEP):
        part = slice(start, start + _NESTED_STEP)
        pairs = zip(before[part].to_pylist(), after[part].to_pylist(), strict=True)
        result[part] = [repr(old) != repr(new) for old, new in pairs]
    return result


def _in_known_version(now: pa.Table, known: pa.ChunkedArray) -> pa.Table:
    """`now`, where a version that is a size alone (`corpus.trust_size`) is the known one of that size."""
    place = now.column_names.index("source_version")
    is_same = pc.equal(pc.replace_substring_regex(known, "-.*", ""), now[place])
    return now.set_column(place, "source_version", pc.if_else(is_same, known, now[place]))


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
    some = pa.repeat(pa.scalar(state), _STEP)  # one for all
    whole, rest = divmod(len(rows), _STEP)
    values = pa.chunked_array([some] * whole + [some[:rest]])
    if "state" in rows.column_names:
        return rows.set_column(rows.column_names.index("state"), "state", values)
    return rows.append_column("state", values)
