"""A decoded frame as pixels that stand upright."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recap.video.container import is_mirrored, turns_of

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Size = tuple[int, int]  # width, height
# From here on the mean over an area is as close to the exact chain as bicubic weights, and cheaper.
SHRUNK = 3
# Chips put both colours into one plane. FFmpeg turns planes of their own into RGB with other roundings.
PLANES = {"nv12": "yuv420p", "p010le": "yuv420p10le", "p016le": "yuv420p12le"}


def upright_pixels(frame: VideoFrame, size: Size | None) -> np.ndarray:
    """(H, W, 3) uint8 RGB of `frame`, as it is to be shown, and shrunk to `size` if that is given."""
    turns, mirrored = turns_of(frame), is_mirrored(frame)
    frame = in_memory(frame)
    width, height = (size[::-1] if turns % 2 else size) if size else (frame.width, frame.height)
    # Bicubic chroma is what decord uses: it matters for pictures of more than 8 bits.
    weights = "AREA" if frame.width >= SHRUNK * width else "BICUBIC"
    shrunk = frame.reformat(width, height, "rgb24", interpolation=weights, threads=1)
    pixels = shrunk.to_ndarray()
    return np.ascontiguousarray(np.rot90(np.fliplr(pixels) if mirrored else pixels, turns))


def in_memory(frame: VideoFrame) -> VideoFrame:
    """`frame` as a processor would have decoded it, fetched from the card that did."""
    if frame.sw_format is None:
        return frame
    return frame.reformat(format=PLANES.get(frame.sw_format.name, frame.sw_format.name), threads=1)
