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
    if not parts:
        return None
    rows = pa.concat_tables(parts, promote_options="permissive")
    last = np.full(pc.max(rows["ordinal"]).as_py() + 1, -1)
    last[rows["ordinal"].to_numpy()] = np.arange(len(rows))  # later rows overwrite earlier ones
    return rows.take(last)


def update_snapshot(output: Path, scanned: pa.Table) -> pa.Table:
    """Append what `scanned` (from `corpus.scan`) adds or changes; return the whole snapshot."""
    known = read_snapshot(output)
    news = _with_ordinals(scanned, 0) if known is None else _news(known, scanned)
    if len(news):
        part = output / "snapshot" / f"part-{len(_parts(output)):05d}.parquet"
        write_atomically(part, lambda aside: pq.write_table(news, aside))
    snapshot = read_snapshot(output)
    assert snapshot is not None
    return snapshot


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
    columns = [name for name in after.column_names if name != "clip_id"]
    old, new = (
        table.select([name for name in columns if name in table.column_names]).to_pylist() for table in (before, after)
    )
    return pa.array([left != right for left, right in zip(old, new, strict=True)], pa.bool_())
