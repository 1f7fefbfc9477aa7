"""The corpus as the output knows it: append-only parts, ordinals that never move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recap.ledger.files import write_atomically
from recap.records import Clip

PRESENT, VANISHED = "present", "vanished"
OWN = ("clip_id", "ordinal", "uri", "source_version", "start_s", "end_s", "state")


def read_snapshot(output: Path) -> pa.Table | None:
    """Every clip ever seen in order of ordinal, each in its last state; None before the first run."""
    parts = [pq.read_table(part) for part in _parts(output)]
    return _last_states(parts) if parts else None


def update_snapshot(output: Path, scanned: pa.Table) -> pa.Table:
    """Append what `scanned` (from `corpus.scan`) adds or changes; return the whole snapshot.

    Raises ValueError, with nothing written, when a caller's column is of another type than before.
    """
    known = read_snapshot(output)
    if known is None:
        news = snapshot = _with_ordinals(scanned, 0)
    else:
        _refuse_other_types(known.schema, scanned.schema)
        news = _news(known, scanned)
        snapshot = _last_states([known, news])
    if len(news):
        part = output / "snapshot" / f"part-{len(_parts(output)):05d}.parquet"
        write_atomically(part, lambda aside: pq.write_table(news, aside))
    return snapshot


def _last_states(parts: list[pa.Table]) -> pa.Table:
    rows = pa.concat_tables(parts, promote_options="permissive")
    last = np.full(pc.max(rows["ordinal"]).as_py() + 1, -1)
    last[rows["ordinal"].to_numpy()] = np.arange(len(rows))  # later rows overwrite earlier ones
    return rows.take(last)


def _refuse_other_types(known: pa.Schema, scanned: pa.Schema) -> None:
    for field in scanned:
        before = field.type if field.name not in known.names else known.field(field.name).type
        if before != field.type and pa.null() not in (before, field.type):
            raise ValueError(
                f"corpus: column {field.name!r} held {before} when this output began and holds {field.type} now; "
                "convert it, or give it another name"
            )


def present(snapshot: pa.Table) -> pa.Table:
    """The clips that the corpus still has."""
    return snapshot.filter(pc.equal(snapshot["state"], PRESENT))


def clips_of(rows: pa.Table, root: Path) -> Iterator[Clip]:
    """The rows of a snapshot as clips below `root`."""
    for batch in rows.select(["clip_id", "ordinal", "uri", "source_version", "start_s", "end_s"]).to_batches(4096):
        for row in batch.to_pylist():
            yield Clip(location=str(root / row["uri"]), **row)


def extra_fields(snapshot: pa.Table) -> list[pa.Field]:
    """The caller's columns."""
    return [field for field in snapshot.schema if field.name not in OWN]


def _parts(output: Path) -> list[Path]:
    return sorted((output / "snapshot").glob("part-*.parquet"))


def _with_ordinals(rows: pa.Table, first: int) -> pa.Table:
    ordinals = pa.array(np.arange(first, first + len(rows)), pa.int64())
    return _with_state(rows.add_column(1, "ordinal", ordinals), PRESENT)


def _with_state(rows: pa.Table, state: str) -> pa.Table:
    values = pa.array([state] * len(rows), pa.string())
    if "state" in rows.column_names:
        return rows.set_column(rows.column_names.index("state"), "state", values)
    return rows.append_column("state", values)


def _news(known: pa.Table, scanned: pa.Table) -> pa.Table:
    place = pc.index_in(scanned["clip_id"], known["clip_id"].combine_chunks())
    added = scanned.filter(pc.is_null(place))
    seen = scanned.filter(pc.is_valid(place))
    before = known.take(place.drop_null())
    again = _with_state(seen.add_column(1, "ordinal", before["ordinal"]), PRESENT)
    gone = pc.invert(pc.is_in(known["clip_id"], scanned["clip_id"].combine_chunks()))
    gone = known.filter(pc.and_(gone, pc.equal(known["state"], PRESENT)))
    changed = again.filter(_differs(before, again))
    parts = [changed, _with_state(gone, VANISHED), _with_ordinals(added, len(known))]
    return pa.concat_tables([part for part in parts if len(part)] or parts[:1], promote_options="permissive")


def _differs(before: pa.Table, after: pa.Table) -> pa.Array:
    after = pa.concat_tables([before.slice(0, 0), after], promote_options="permissive")
    before = pa.concat_tables([after.slice(0, 0), before], promote_options="permissive")
    rows = zip(before.to_pylist(), after.select(before.column_names).to_pylist(), strict=True)
    return pa.array([repr(old) != repr(new) for old, new in rows], pa.bool_())  # repr: NaN is like NaN
