"""Stored captions judged again under other review settings: no clip is read and no model is asked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from recap import ledger
from recap.records import CAPTIONED, Caption, Clip, Record
from recap.review import Context, review

log = logging.getLogger(__name__)


def review_again(
    output: Path, committed: ledger.Committed, review_key: str, contexts: Mapping[str, Context], epoch: int
) -> ledger.Committed:
    """The verdicts under `review_key` of captions that were judged under another one; those that lack are made.

    They are records that hold captions alone, below `overlays/<review_key>`. Only under the lease.
    """
    folder = ledger.overlay_folder(output, review_key)
    overlay = ledger.Committed(committed.snapshot, folder, ledger.set_aside)
    stale = np.concatenate([*_stale(committed, review_key, overlay), np.zeros(0, np.int64)]).astype(np.int64)
    if not len(stale):
        return overlay
    log.info("%d captions are judged again", len(stale))
    writer = ledger.FragmentWriter(folder, epoch, "review", flush_s=30.0)
    for record in _judged(committed, stale, review_key, contexts):
        writer.append(record)
    writer.flush()
    return ledger.Committed(committed.snapshot, folder, ledger.set_aside)


def _stale(committed: ledger.Committed, review_key: str, overlay: ledger.Committed) -> Iterator[np.ndarray]:
    for ordinals, rows in committed.records(committed.done, ["status", "review_key"]):
        is_other = pc.and_(pc.equal(rows["status"], CAPTIONED), pc.not_equal(rows["review_key"], review_key))
        yield ordinals[is_other.to_numpy() & (overlay.where[ordinals] < 0)]


def _judged(
    committed: ledger.Committed, ordinals: np.ndarray, review_key: str, contexts: Mapping[str, Context]
) -> Iterator[Record]:
    for some, rows in committed.records(ordinals, ["captions", "caption_key"]):
        clips = committed.snapshot.clips(some, Path())
        for clip, captions, key in zip(
            clips, rows["captions"].to_pylist(), rows["caption_key"].to_pylist(), strict=True
        ):
            judged = tuple(judge(_caption(each), contexts[each["prompt"]]) for each in captions)
            yield Record(_without_location(clip), CAPTIONED, key, review_key, judged)


def judge(caption: Caption, context: Context) -> Caption:
    """A stored caption under other settings. Of several attempts' scores it is the kept one's that changes."""
    scores = list(caption.scores) or [0.0]
    judged = review(caption, context)
    scores[scores.index(max(scores))] = judged.scores[0]
    return replace(judged, scores=tuple(scores))


def _caption(row: dict) -> Caption:
    return Caption(**{name: tuple(value) if isinstance(value, list) else value for name, value in row.items()})


def _without_location(clip: Clip) -> Clip:
    return replace(clip, location="")
