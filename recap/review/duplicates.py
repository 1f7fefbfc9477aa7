"""Near-duplicates over a whole corpus: MinHash signatures, compared where a band of them agrees."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice

import numpy as np

from recap.review.draft import words

Room = Callable[[tuple[int, ...], type[np.generic]], np.ndarray]
_HASHES = 64
_BAND = np.uint64  # four hashes: captions with similarity 0.8 agree on one of the sixteen with probability 0.9998
_PIECE = 3  # words
_BATCH = 512
_RANDOM = np.random.Generator(np.random.PCG64(20240425))
_FACTORS = _RANDOM.integers(1, 2**63, _HASHES, dtype=np.uint64) * 2 + 1
_TERMS = _RANDOM.integers(0, 2**63, _HASHES, dtype=np.uint64)
_PLACES = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)


def near_duplicates(texts: Iterable[str], similarity: float, most: int, room: Room = np.zeros) -> np.ndarray:
    """For each of up to `most` texts the place of an earlier one that reads nearly the same, or -1. int64 `(texts,)`.

    Give the texts in ordinal order: the first of its kind gets -1. Similarity is the estimated share of
    three-word pieces in common, 0 to 1, give or take 0.05. Texts without a word are nobody's duplicate. Holds 128
    bytes a text in what `room` gives for a shape and a type, and 60 more in memory at the end.
    """
    signatures = _signatures(texts, room((most, _HASHES), np.uint16))
    earlier = np.full(len(signatures), -1, np.int64)
    for band in signatures.view(_BAND).T:
        _match_band(band, signatures, similarity, earlier)
    return earlier


def _match_band(band: np.ndarray, signatures: np.ndarray, similarity: float, earlier: np.ndarray) -> None:
    """Compare each text with the first and the previous one whose hash in this band is its own."""
    order = np.argsort(band, kind="stable")
    ordered = band[order]
    starts = np.concatenate(([True], ordered[1:] != ordered[:-1]))[: len(ordered)]
    firsts = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
    previous = np.roll(order, 1)
    for candidates in (firsts, previous):
        open_places = np.flatnonzero(~starts & (earlier[order] < 0) & (ordered != 0))
        for part in np.array_split(open_places, len(open_places) // 65536 + 1):
            here, there = order[part], candidates[part]
            alike = (signatures[here] == signatures[there]).mean(axis=1) >= similarity
            earlier[here[alike]] = there[alike]


def _signatures(texts: Iterable[str], signatures: np.ndarray) -> np.ndarray:
    """The least of each hash, uint16 `(texts, 64)`, written to `signatures`; zeros for no words."""
    numbers, source, end = _Numbers(), iter(texts), 0
    while batch := [[numbers[word] for word in words(text)] for text in islice(source, _BATCH)]:
        start, end = end, end + len(batch)
        signatures[start:end] = _minima(batch)
    return signatures[:end]


class _Numbers(dict[str, int]):
    """A number for each word, above 0."""

    def __missing__(self, word: str) -> int:
        number = self[word] = zlib.crc32(word.encode()) + 1
        return number


def _minima(texts: Sequence[Sequence[int]]) -> np.ndarray:
    """Sixteen bits of the least of each hash over a text's pieces, uint16 `(texts, 64)`; zeros for no words."""
    pieces, starts = _pieces(texts)
    least = (np.minimum.reduceat(pieces * factor + term, starts) for factor, term in zip(_FACTORS, _TERMS, strict=True))
    minima = (np.stack(list(least), axis=1) >> np.uint64(32)).astype(np.uint16)
    minima[[not text for text in texts]] = 0
    return minima


def _pieces(texts: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """The pieces of texts, end to end, one at least of each; and where each text's begin."""
    padded = [[*text, *[0] * (_PIECE - len(text))] for text in texts]
    ends = np.cumsum([len(text) for text in padded])
    numbers = np.fromiter(chain.from_iterable(padded), np.uint64, ends[-1])
    pieces = sum((np.roll(numbers, -place) * _PLACES[place] for place in range(_PIECE)), np.uint64(0))
    pieces ^= pieces >> np.uint64(29)
    reach_over = (ends[:, None] - np.arange(1, _PIECE)).ravel()  # from one text into the next
    starts = np.concatenate([[0], ends[:-1]]) - (_PIECE - 1) * np.arange(len(texts))
    return np.delete(pieces, reach_over), starts
