"""What of the committed records leaves the house: verdicts of today's settings, marks over the whole corpus, text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recap import ledger
from recap.records import CAPTIONED, FILTERED, STATUSES, Caption
from recap.review import (
    FAIL,
    ReviewSettings,
    delivered_text,
    mark_near_duplicate,
    near_duplicates,
)

Row = dict[str, Any]


class Delivery:
    """The rows of shards. `verdicts` holds captions that were judged again under `review_key`.

    After `batches` has ended, `statuses` counts rows by status, and `flags` captions by flag, before and after
    repair.
    """

    def __init__(
        self, committed: ledger.Committed, verdicts: ledger.Committed, settings: ReviewSettings, review_key: str
    ):
        self.committed, self.verdicts = committed, verdicts
        self.settings, self.review_key = settings, review_key
        self.statuses: Counter[str] = Counter()
        self.flags: dict[str, Counter[str]] = {"before": Counter(), "after": Counter()}

    def batches(self) -> Iterator[pa.Table]:
        """The rows in order of ordinal, some thousand at a time."""
        self.statuses.clear()
        self.flags = {"before": Counter(), "after": Counter()}
        doubles = self._doubles()
        for batch in self.committed.batches():
            ordinals = batch["ordinal"].to_numpy()
            rows = self._edited(batch, ordinals, doubles)
            self._count(rows)
            yield rows

    def _edited(self, batch: pa.Table, ordinals: np.ndarray, doubles: np.ndarray) -> pa.Table:
        is_again = self.verdicts.where[ordinals] >= 0
        if is_again.any():
            batch = _replaced(batch, is_again, self._again(ordinals[is_again]))
        is_double = np.isin(ordinals, doubles)
        if is_double.any():
            batch = _replaced(
                batch, is_double, lambda row: _first(row, lambda c: mark_near_duplicate(c, self.settings))
            )
        if self.settings.trim_openings:
            batch = _replaced(batch, pc.equal(batch["status"], CAPTIONED).to_numpy(), self._trimmed)
        return self._filtered(batch) if self.settings.on_fail == "filter" else batch

    def _doubles(self) -> np.ndarray:
        """Ordinals of captioned clips whose caption an earlier clip has, nearly."""
        if not self.settings.duplicate_similarity:
            return np.zeros(0, np.int64)
        ordinals: list[np.ndarray] = [np.zeros(0, np.int64)]
        earlier = near_duplicates(self._texts(ordinals), self.settings.duplicate_similarity)
        return np.concatenate(ordinals)[earlier >= 0]

    def _texts(self, seen: list[np.ndarray]) -> Iterator[str]:
        for ordinals, rows in self.committed.records(self.committed.done, ["status", "caption"]):
            is_captioned = pc.equal(rows["status"], CAPTIONED)
            seen.append(ordinals[is_captioned.to_numpy()])
            yield from rows["caption"].filter(is_captioned).to_pylist()

    def _again(self, ordinals: np.ndarray) -> Callable[[Row], Row]:
        (_, rows), *_ = self.verdicts.records(ordinals, ["captions"], rows=len(ordinals))
        judged = iter(rows["captions"].to_pylist())
        return lambda row: row | {"captions": next(judged), "review_key": self.review_key}

    def _trimmed(self, row: Row) -> Row:
        captions = [each | {"text": delivered_text(each["text"], self.settings)} for each in row["captions"]]
        return row | {"caption": captions[0]["text"], "captions": captions}

    def _filtered(self, batch: pa.Table) -> pa.Table:
        captioned = np.flatnonzero(pc.equal(batch["status"], CAPTIONED).to_numpy())
        primary = pc.list_element(batch["captions"].take(captioned), 0)
        fails = captioned[pc.equal(pc.struct_field(primary, "verdict"), FAIL).to_numpy()]
        status = np.array(batch["status"].to_pylist(), object)
        status[fails] = FILTERED
        return batch.set_column(batch.column_names.index("status"), batch.schema.field("status"), pa.array(status))

    def _count(self, rows: pa.Table) -> None:
        for each in pc.value_counts(rows["status"]).to_pylist():
            self.statuses[each["values"]] += each["counts"]
        for name, flags in _flags(rows["captions"]):
            self.flags[name].update(flags)

    def books(self) -> dict[str, int]:
        """`clips = captioned + quarantined + filtered + remaining`, asserted; after `batches`."""
        committed = self.committed.books()
        books = committed | {status: self.statuses[status] for status in STATUSES}
        assert books["clips"] == sum(books[name] for name in (*STATUSES, "remaining")), (books, committed)
        return books


def _replaced(batch: pa.Table, chosen: np.ndarray, edit: Callable[[Row], Row]) -> pa.Table:
    """`batch` with what `edit` makes of the chosen rows' captions."""
    names = ["caption", "captions", "review_key"]
    rows = batch.select(names).to_pylist()
    edited = [edit(row) if is_chosen else row for row, is_chosen in zip(rows, chosen, strict=True)]
    for name in names:
        column = pa.array([row[name] for row in edited], batch.schema.field(name).type)
        batch = batch.set_column(batch.column_names.index(name), batch.schema.field(name), column)
    return batch


def _first(row: Row, edit: Callable[[Caption], Caption]) -> Row:
    primary, *others = row["captions"]
    return row | {"captions": [asdict(edit(Caption(**primary))), *others]}


def _flags(captions: pa.ChunkedArray) -> Iterator[tuple[str, dict[str, int]]]:
    """Captions by flag, as they are and as first attempts were."""
    each = pc.list_flatten(captions)
    is_repaired = pc.greater(pc.struct_field(each, "repairs"), 0)
    before = pc.if_else(is_repaired, pc.struct_field(each, "flags_before"), pc.struct_field(each, "flags"))
    for name, flags in (("before", before), ("after", pc.struct_field(each, "flags"))):
        yield name, {found["values"]: found["counts"] for found in pc.value_counts(pc.list_flatten(flags)).to_pylist()}
