"""A decoded frame as pixels that stand upright."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recap.records import ClipError
from recap.video.container import is_mirrored, turns_of

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane

Size = tuple[int, int]  # width, height
# From here on the mean over an area is as close to the exact chain as bicubic weights, and cheaper.
SHRUNK = 3
# Chips put both colours into one plane. FFmpeg turns planes of their own into RGB with other roundings.
PLANES = {"nv12": "yuv420p", "p010le": "yuv420p10le", "p016le": "yuv420p12le"}
# Colour matrices (ITU-T H.273) by which FFmpeg makes RGB: it refuses a picture that names another one.
MATRICES = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
UNSPECIFIED, BT2020, BT2020_CONSTANT = 2, 9, 10


def upright_pixels(frame: VideoFrame, size: Size | None) -> np.ndarray:
    """(H, W, 3) uint8 RGB of `frame`, as it is to be shown, and shrunk to `size` if that is given.

    Raises ClipError decoder_error for pixels of a kind that cannot become RGB.
    """
    import av

    turns, mirrored = turns_of(frame), is_mirrored(frame)
    try:
        pixels = _rgb(frame, size[::-1] if size and turns % 2 else size)
    except MemoryError:
        raise
    except av.error.FFmpegError:
        raise ClipError("decode", "decoder_error", "FFmpeg cannot turn the video's pixels into RGB") from None
    return np.ascontiguousarray(np.rot90(np.fliplr(pixels) if mirrored else pixels, turns))


def _rgb(frame: VideoFrame, size: Size | None) -> np.ndarray:
    if frame.colorspace not in MATRICES:
        frame.colorspace = BT2020 if frame.colorspace == BT2020_CONSTANT else UNSPECIFIED
    frame = in_memory(frame)
    if size and frame.interlaced_frame:
        frame = _undivided(frame)
    width, height = size or (frame.width, frame.height)
    # Bicubic chroma is what decord uses: it matters for pictures of more than 8 bits.
    weights = "AREA" if frame.width >= SHRUNK * width else "BICUBIC"
    return frame.reformat(width, height, "rgb24", interpolation=weights, threads=1).to_ndarray()


def _undivided(frame: VideoFrame) -> VideoFrame:
    """A copy of `frame` that is not marked as two fields, each of which FFmpeg would shrink alone."""
    import av

    whole = av.VideoFrame(frame.width, frame.height, frame.format.name)
    for plane, marked in zip(whole.planes, frame.planes, strict=True):
        length = min(plane.line_size, marked.line_size)
        _rows(plane)[:, :length] = _rows(marked)[:, :length]
    whole.colorspace, whole.color_range = frame.colorspace, frame.color_range
    return whole


def _rows(plane: VideoPlane) -> np.ndarray:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)


def in_memory(frame: VideoFrame) -> VideoFrame:
    """`frame` as a processor would have decoded it, fetched from the card that did."""
    if frame.sw_format is None:
        return frame
    return frame.reformat(format=PLANES.get(frame.sw_format.name, frame.sw_format.name), threads=1)
