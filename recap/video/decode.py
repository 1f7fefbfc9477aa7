"""Which decoder reads a file, and when the other one is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from recap.records import ClipError
from recap.video.decord_decoder import DecoderFailed, decord_frames, suits
from recap.video.probe import Probe
from recap.video.pyav_decoder import PyavDecoder
from recap.video.settings import DecodeSettings
from recap.video.timeline import Timeline

Shots = Iterator[tuple[float, np.ndarray]]


def decode(
    path: str,
    facts: Probe,
    timeline: Timeline,
    indices: Sequence[int],
    settings: DecodeSettings,
    take: Callable[[Shots], list[float]],
) -> tuple[list[float], str, bool]:
    """Hand the frames of `indices` (ascending, distinct), one by one, to `take`, which returns their times.

    Returns (times in seconds, decoder, damaged). decord reads what it reads rightly; PyAV reads the
    rest, and what decord reports an error on. Raises ClipError: decoder_error, no_frames, damaged.
    """
    if suits(facts, timeline):
        batch = max(1, settings.batch_bytes // (3 * facts.width * facts.height))
        try:
            return take(decord_frames(path, timeline, indices, batch)), "decord", False
        except DecoderFailed:
            if not settings.fallback:
                raise ClipError("decode", "decoder_error", "decord cannot decode the file") from None
    decoder = PyavDecoder(path, timeline)
    times = take(decoder.frames(indices))
    _check(times, indices)
    return times, "pyav", decoder.damaged


def _check(times: list[float], indices: Sequence[int]) -> None:
    if not times:
        raise ClipError("decode", "no_frames", "no frame of the file can be decoded")
    if 2 * len(set(times)) < len(indices):
        raise ClipError("decode", "damaged", "fewer than half of the wanted frames can be decoded")
