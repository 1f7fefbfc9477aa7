"""Stored captions judged again under other review settings: no clip is read and no model is asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from recap import ledger
from recap.records import CAPTIONED, Caption, Record
from recap.review import Context, review, review_translation, scores_again
from recap.storage import Location

log = logging.getLogger(__name__)
Captions = tuple[Caption, ...]
Judge = Callable[[np.ndarray, Sequence[Captions]], list[Captions]]


def review_again(
    committed: ledger.Committed, captioned: np.ndarray, folder: Location, review_key: str, judge: Judge, epoch: int
) -> ledger.Committed:
    """The verdicts under `review_key` of captions that were judged under another one; those that lack are made.

    They are records that hold captions alone, below `folder`. `judge` is given some of the ordinals `captioned` and
    what `committed` has of them. Only under the lease.
    """
    verdicts = ledger.Committed(committed.snapshot, folder, ledger.set_aside)
    unjudged = captioned[(committed.where[captioned] >= 0) & (verdicts.where[captioned] < 0)]
    stale = np.concatenate([np.zeros(0, np.int64), *_stale(committed, unjudged, review_key)])
    if not len(stale):
        return verdicts
    log.info("the captions of %d clips are judged again", len(stale))
    with closing(ledger.FragmentWriter(folder, epoch, "review", flush_s=30.0)) as writer:
        for record in _judged(committed, stale, review_key, judge):
            writer.append(record)
        writer.flush()
    return ledger.Committed(committed.snapshot, folder, ledger.set_aside)


def _stale(committed: ledger.Committed, ordinals: np.ndarray, review_key: str) -> Iterator[np.ndarray]:
    for some, rows in committed.records(ordinals, ["review_key"]):
        yield some[pc.not_equal(rows["review_key"], review_key).to_numpy()]


def _judged(committed: ledger.Committed, ordinals: np.ndarray, review_key: str, judge: Judge) -> Iterator[Record]:
    for some, rows in committed.records(ordinals, ["captions", "caption_key"]):
        clips = committed.snapshot.clips(some, Path())
        before = [ledger.captions_of(captions) for captions in rows["captions"].to_pylist()]
        for clip, captions, key in zip(clips, judge(some, before), rows["caption_key"].to_pylist(), strict=True):
            yield Record(clip, CAPTIONED, key, review_key, captions)


def judge_captions(contexts: Mapping[str, Context]) -> Judge:
    """Judges captions in the context of their prompt."""

    def judge(ordinals: np.ndarray, stored: Sequence[Captions]) -> list[Captions]:
        return [tuple(_rescored(c, review(c, contexts[c.prompt])) for c in captions) for captions in stored]

    return judge


def judge_translations(sources: ledger.Committed, context: Context) -> Judge:
    """Judges translations beside the captions that they render."""

    def judge(ordinals: np.ndarray, stored: Sequence[Captions]) -> list[Captions]:
        ((_, rows),) = sources.records(ordinals, ["captions"], rows=len(ordinals))
        pairs = zip(map(ledger.captions_of, rows["captions"].to_pylist()), stored, strict=True)
        return [
            tuple(_rescored(t, review_translation(s, t, context)) for s, t in zip(source, texts, strict=True))
            for source, texts in pairs
        ]

    return judge


def _rescored(before: Caption, now: Caption) -> Caption:
    return replace(now, scores=scores_again(before.scores, now.scores[0]))
