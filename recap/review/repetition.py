"""Captions that say the same again: loops of words, sentences said twice, text that packs too well."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

from recap.review.context import Context
from recap.review.draft import Draft, words

_LONGEST_PIECE = 40  # words; longer pieces are sentences, which are compared as such
_STUTTER = re.compile(r"(\S{1,8}?)\1{11,}")
_LEAST_SENTENCE = 4  # shorter ones ("It rains.") may come again
_QUOTED_FACTOR = 4  # a sign or a song may say "no" seven times
_LEAST_PACKED = 160  # bytes; shorter texts say nothing about packing


def is_repetitive(draft: Draft, context: Context) -> bool:
    """A loop of words or of letters, repeated sentences, or a text that zlib makes too small."""
    settings, quotes = context.settings, draft.own_words is not draft.words
    return (
        longest_loop(draft.own_words, settings.loop_times) >= settings.loop_words
        or (quotes and longest_loop(draft.words, settings.loop_times) >= _QUOTED_FACTOR * settings.loop_words)
        or _STUTTER.search(draft.text) is not None
        or repeated_share(draft.sentences) > settings.repeated_share
        or compression_ratio(draft.text) > settings.compression_ratio
    )


def longest_loop(tokens: Sequence[str], times: int) -> int:
    """Words in the longest run that only repeats the words right before it; 0 unless a piece comes `times` times."""
    if len(tokens) < times or distinct_share(tokens) == 1:
        return 0
    numbers = {word: number for number, word in enumerate(dict.fromkeys(tokens))}
    series = np.array([numbers[word] for word in tokens])
    longest = 0
    for piece in range(1, min(_LONGEST_PIECE, len(series) // times) + 1):
        run = _longest_run(series[piece:] == series[:-piece])
        if run >= (times - 1) * piece:
            longest = max(longest, run)
    return longest


def _longest_run(equal: np.ndarray) -> int:
    breaks = np.flatnonzero(~equal)
    edges = np.concatenate(([-1], breaks, [len(equal)]))
    return int(np.diff(edges).max()) - 1


def repeated_share(sentences: Sequence[str]) -> float:
    """The part of the words that lies in sentences already said, between 0 and 1; short sentences do not count."""
    seen: set[tuple[str, ...]] = set()
    total = repeated = 0
    for sentence in map(words, sentences):
        total += len(sentence)
        if len(sentence) >= _LEAST_SENTENCE and sentence in seen:
            repeated += len(sentence)
        seen.add(sentence)
    return repeated / total if total else 0.0


def distinct_share(tokens: Sequence[str]) -> float:
    """Different pieces of three words among all of them: 1 for a text that never repeats itself."""
    pieces = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    return len(set(pieces)) / len(pieces) if pieces else 1.0


def compression_ratio(text: str) -> float:
    """How many times smaller zlib makes the text; 1 for one that is too short to tell."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if len(data) >= _LEAST_PACKED else 1.0
