"""Frames by number with decord: it seeks, and holds no more frames than it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from recap.video.probe import Probe
from recap.video.timeline import Timeline

# Where its frames were found to be the right ones. It shows wrong ones, without an error, from MPEG
# streams and from AVI with B-frames.
CONTAINERS = frozenset({"mov", "matroska", "flv", "ogg", "gif"})
# The share of frames it may replace by their neighbours without a word: none.
FAULT_TOLERANCE = 1e-9
CLOCK_S = 0.001


class DecoderFailed(Exception):
    """The decoder could not read the file, or contradicts the file's own clock."""


def suits(facts: Probe, timeline: Timeline) -> bool:
    """Whether decord numbers this file's frames as it shows them: no turned, no cut-away frames."""
    return facts.container in CONTAINERS and not (facts.turns or timeline.hidden or timeline.counted)


def decord_frames(
    path: str, timeline: Timeline, indices: Sequence[int], batch: int
) -> Iterator[tuple[float, np.ndarray]]:
    """(time in seconds, (H, W, 3) uint8 RGB) of each of the ascending `indices`.

    Holds `batch` full-size frames at once. Raises DecoderFailed.
    """
    try:
        reader = _open(path, timeline)
        for at in range(0, len(indices), batch):
            part = list(indices[at : at + batch])
            pictures = reader.get_batch(part).asnumpy()
            yield from zip(timeline.times_s[part].tolist(), pictures, strict=True)
    except DecoderFailed:
        raise
    except Exception as error:  # decord raises its own errors, RuntimeError and AssertionError
        raise DecoderFailed(str(error)) from error


def _open(path: str, timeline: Timeline):
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    reader = decord.VideoReader(path, num_threads=1, fault_tol=FAULT_TOLERANCE)
    if len(reader) != len(timeline):
        raise DecoderFailed(f"{len(reader)} frames found where the packets make {len(timeline)}")
    times_s = reader.get_frame_timestamp(range(len(reader)))[:, 0]  # float32
    if np.abs(times_s - timeline.times_s).max() > CLOCK_S + 1e-6 * timeline.times_s[-1]:
        raise DecoderFailed("the frames are not timed as the packets are")
    return reader
