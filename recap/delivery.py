"""What of the committed records leaves the house: captions and translations with verdicts of today's settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recap import ledger
from recap.records import CAPTIONED, FILTERED, STATUSES
from recap.review import (
    FAIL,
    ReviewSettings,
    delivered_text,
    mark_near_duplicate,
    near_duplicates,
)
from recap.storage import spilled_zeros
from recap.translation import source_sha

Captions = list[dict[str, Any]]
SIGNATURES = partial(spilled_zeros, what="the search for near-duplicates, 0.13 KB each caption")


def verdict_key(review_key: str, translation_key: str) -> str:
    """The overlay of translations that were judged again."""
    return ledger.key_of({"review_key": review_key}, translation_key)


class Layer:
    """Captions as they were committed, and those of them that were judged again since."""

    def __init__(self, committed: ledger.Committed, verdicts: ledger.Committed):
        self.committed, self.verdicts = committed, verdicts

    def captions(self, ordinals: np.ndarray) -> dict[int, Captions]:
        """The newest captions of those clips that have any, by ordinal."""
        return _read(self.committed, ordinals) | _read(self.verdicts, ordinals)


def _read(committed: ledger.Committed, ordinals: np.ndarray) -> dict[int, Captions]:
    ordinals = ordinals[committed.where[ordinals] >= 0]
    columns = [rows["captions"].to_pylist() for _, rows in committed.records(ordinals, ["captions"])]
    return dict(zip(ordinals.tolist(), (captions for column in columns for captions in column), strict=True))


class Delivery:
    """The rows of shards: `captions`, and `translations` by language behind them, under `review_key`.

    `on_compared` is told, while near-duplicates are looked for, how many clips were.
    After `batches` has ended, `statuses` counts rows by status, `flags` captions by flag, before and after repair,
    and `translated` clips by language.
    """

    def __init__(
        self,
        captions: Layer,
        translations: Mapping[str, Layer],
        settings: ReviewSettings,
        review_key: str,
        on_compared: Callable[[int], object] = lambda _: None,
    ):
        self.on_compared = on_compared
        self.committed, self.layer, self.translations = captions.committed, captions, translations
        self.settings, self.review_key = settings, review_key
        self._reset()

    def _reset(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.translated: Counter[str] = Counter()
        self.flags: dict[str, Counter[str]] = {"before": Counter(), "after": Counter()}

    def batches(self) -> Iterator[pa.Table]:
        """The rows in order of ordinal, some thousand at a time."""
        self._reset()
        for batch in self.committed.batches():
            rows = self._edited(batch)
            rows = self._filtered(rows) if self.settings.on_fail == "filter" else rows
            self._count(rows)
            yield rows

    def books(self) -> dict[str, int]:
        """`clips = captioned + quarantined + filtered + remaining`, asserted; after `batches`."""
        committed = self.committed.books()
        books = committed | {status: self.statuses[status] for status in STATUSES}
        assert books["clips"] == sum(books[name] for name in (*STATUSES, "remaining")), (books, committed)
        return books

    def _edited(self, batch: pa.Table) -> pa.Table:
        batch = _with(batch, "review_key", [self.review_key] * len(batch))
        ordinals = batch["ordinal"].to_numpy()
        is_touched = (self.layer.verdicts.where[ordinals] >= 0) | self._is_double[ordinals]
        for layer in self.translations.values():
            is_touched |= layer.committed.where[ordinals] >= 0
        if self.settings.trim_openings:
            is_touched |= pc.equal(batch["status"], CAPTIONED).to_numpy()
        if not is_touched.any():
            return batch
        captions = batch["captions"].to_pylist()
        edited = self._captions(ordinals[is_touched])
        for place, now in zip(np.flatnonzero(is_touched), edited, strict=True):
            captions[place] = now
        texts = [
            each[0]["text"] if each else text for each, text in zip(captions, batch["caption"].to_pylist(), strict=True)
        ]
        return _with(_with(batch, "caption", texts), "captions", captions)

    def _captions(self, ordinals: np.ndarray) -> Iterator[Captions]:
        own = self.layer.captions(ordinals)
        others = [layer.captions(ordinals) for layer in self.translations.values()]
        for ordinal in ordinals.tolist():
            captions = own[ordinal]
            if self._is_double[ordinal]:
                (primary,) = ledger.captions_of(captions[:1])
                captions = [asdict(mark_near_duplicate(primary, self.settings)), *captions[1:]]
            yield self._linked(captions, [each for other in others for each in other.get(ordinal, ())])

    def _linked(self, captions: Captions, translations: Captions) -> Captions:
        """Captions and those translations that are of them, with their texts as they leave; links are to those."""
        delivered = [each | {"text": delivered_text(each["text"], self.settings)} for each in captions]
        links = {source_sha(was["text"]): source_sha(now["text"]) for was, now in zip(captions, delivered, strict=True)}
        for each in translations:
            if link := links.get(each["source_sha"]):
                delivered.append(each | {"source_sha": link, "text": delivered_text(each["text"], self.settings)})
        return delivered

    def _filtered(self, batch: pa.Table) -> pa.Table:
        captioned = np.flatnonzero(pc.equal(batch["status"], CAPTIONED).to_numpy())
        primary = pc.list_element(batch["captions"].take(captioned), 0)
        fails = captioned[pc.equal(pc.struct_field(primary, "verdict"), FAIL).to_numpy()]
        status = np.array(batch["status"].to_pylist(), object)
        status[fails] = FILTERED
        return _with(batch, "status", status)

    @cached_property
    def _is_double(self) -> np.ndarray:
        """By ordinal, whether an earlier clip has the clip's caption, nearly."""
        is_double = np.zeros(len(self.committed.where), bool)
        if self.settings.duplicate_similarity:
            ordinals: list[np.ndarray] = [np.zeros(0, np.int64)]
            most = len(self.committed.done)
            earlier = near_duplicates(self._texts(ordinals), self.settings.duplicate_similarity, most, SIGNATURES)
            is_double[np.concatenate(ordinals)[earlier >= 0]] = True
        return is_double

    def _texts(self, seen: list[np.ndarray]) -> Iterator[str]:
        compared = 0
        for ordinals, rows in self.committed.records(self.committed.done, ["status", "caption"]):
            is_captioned = pc.equal(rows["status"], CAPTIONED)
            seen.append(ordinals[is_captioned.to_numpy()])
            compared += len(ordinals)
            self.on_compared(compared)
            yield from rows["caption"].filter(is_captioned).to_pylist()

    def _count(self, rows: pa.Table) -> None:
        for each in pc.value_counts(rows["status"]).to_pylist():
            self.statuses[each["values"]] += each["counts"]
        for name, flags in _flags(rows["captions"]):
            self.flags[name].update(flags)
        for language in self.translations:
            self.translated[language] += _clips_in(language, rows["captions"])


def _with(rows: pa.Table, name: str, values: Sequence[Any]) -> pa.Table:
    """The same rows with other values in a column."""
    field = rows.schema.field(name)
    return rows.set_column(rows.column_names.index(name), field, pa.array(values, field.type))


def _clips_in(language: str, captions: pa.ChunkedArray) -> int:
    """How many rows have a caption in a language."""
    captions = captions.combine_chunks()
    is_in = pc.equal(pc.struct_field(pc.list_flatten(captions), "language"), language)
    return len(pc.unique(pc.list_parent_indices(captions).filter(is_in)))


def _flags(captions: pa.ChunkedArray) -> Iterator[tuple[str, dict[str, int]]]:
    """Captions by flag, as they are and as first attempts were."""
    each = pc.list_flatten(captions)
    is_repaired = pc.greater(pc.struct_field(each, "repairs"), 0)
    before = pc.if_else(is_repaired, pc.struct_field(each, "flags_before"), pc.struct_field(each, "flags"))
    for name, flags in (("before", before), ("after", pc.struct_field(each, "flags"))):
        yield name, {found["values"]: found["counts"] for found in pc.value_counts(pc.list_flatten(flags)).to_pylist()}
