"""Frames by number with decord: it seeks, and holds no more frames than it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from recap.video.failure import DecoderFailed
from recap.video.probe import Probe
from recap.video.timeline import Timeline
from recap.video.upright import Size

# Where its frames were found to be the right ones. It shows wrong ones, without an error, from MPEG
# streams, from AVI, where frames are reordered, and where what it decodes is damaged, not always the same ones.
CONTAINERS = frozenset({"mov", "matroska", "ogg"})
CODECS = frozenset({"theora"})
# The share of frames it may replace by their neighbours without a word: none.
FAULT_TOLERANCE = 1e-9
CLOCK_S = 0.001
# FFmpeg pads rows up to 64 bytes, by the processor; decord misreads padded rows whose length is a
# multiple of the width, which only narrow pictures have. Rows of a multiple of 64 pixels have no padding.
ROW_PIXELS, NARROW = 64, 190


def suits(probe: Probe, timeline: Timeline) -> bool:
    """Whether decord reads this file's frames rightly: none turned, cut away, reordered or of a width it misreads."""
    coded = timeline.coded
    if probe.container not in CONTAINERS or probe.codec not in CODECS:
        return False
    if probe.turns or probe.mirrored or timeline.hidden:
        return False
    ordered = coded is not None and coded.steady and bool(coded.keys[0] and (np.diff(coded.pts) > 0).all())
    return ordered and probe.width == readable_width(probe.width)


def readable_width(width: int) -> int:
    """The next width from `width` up that decord reads on every machine."""
    return width if width >= NARROW else -(-width // ROW_PIXELS) * ROW_PIXELS


def decord_frames(
    path: str, timeline: Timeline, indices: Sequence[int], batch: int, size: Size | None
) -> Iterator[tuple[float, np.ndarray]]:
    """(time in seconds, (H, W, 3) uint8 RGB) of each of the ascending `indices`, shrunk to `size` if given.

    Holds `batch` frames at once. Raises DecoderFailed.
    """
    try:
        reader = _open(path, timeline, size)
        for at in range(0, len(indices), batch):
            part = list(indices[at : at + batch])
            pictures = reader.get_batch(part).asnumpy()
            yield from zip(timeline.times_s[part].tolist(), pictures, strict=True)
    except (DecoderFailed, MemoryError):
        raise
    except Exception as error:  # decord raises its own errors, RuntimeError and AssertionError
        raise DecoderFailed(str(error)) from error


def _open(path: str, timeline: Timeline, size: Size | None):
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    width, height = size or (-1, -1)
    reader = decord.VideoReader(path, width=width, height=height, num_threads=1, fault_tol=FAULT_TOLERANCE)
    if len(reader) != len(timeline):
        raise DecoderFailed(f"{len(reader)} frames found where the packets make {len(timeline)}")
    times_s = reader.get_frame_timestamp(range(len(reader)))[:, 0]  # float32
    if np.abs(times_s - timeline.times_s).max() > CLOCK_S + 1e-6 * timeline.times_s[-1]:
        raise DecoderFailed("the frames are not timed as the packets are")
    return reader
