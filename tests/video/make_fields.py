"""An H.264 stream of field pictures, written by hand, as no encoder at hand makes any.

Every macroblock is stored as samples (I_PCM), so that a decoder shows just what was put in. Syntax: ITU-T H.264.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from .make_clips import HEIGHT, WIDTH, frame_of

GROUP = 12
PCM = 25  # mb_type of an I slice


class Bits:
    def __init__(self) -> None:
        self.bits: list[int] = []

    def u(self, length: int, *values: int) -> Bits:
        for value in values:
            self.bits += [value >> place & 1 for place in range(length - 1, -1, -1)]
        return self

    def ue(self, *values: int) -> Bits:
        for value in values:
            length = (value + 1).bit_length()
            self.u(2 * length - 1, value + 1)
        return self

    def aligned(self) -> Bits:
        return self.u(-len(self.bits) % 8, 0)

    def samples(self, *planes: np.ndarray) -> None:
        self.aligned().u(8, *(int(sample) for plane in planes for sample in plane.flat))

    def ended(self) -> bytes:
        return np.packbits(np.array(self.u(1, 1).aligned().bits, np.uint8)).tobytes()


def unit(reference: int, kind: int, payload: bytes) -> bytes:
    """A NAL unit of a byte stream."""
    written, zeros = bytearray([reference << 5 | kind]), 0
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            written.append(3)
            zeros = 0
        written.append(byte)
        zeros = 0 if byte else zeros + 1
    return b"\0\0\0\1" + bytes(written)


def parameters() -> bytes:
    timing = Bits().u(1, 1, 0, 0, 0, 0, 1).u(32, 1, 50).u(1, 1, 0, 0, 1, 0, 1).ue(0, 0, 10, 10, 0, 1).bits
    sequence = Bits().u(8, 77, 0, 40).ue(0, 0, 2, 1).u(1, 0).ue(WIDTH // 16 - 1, HEIGHT // 32 - 1).u(1, 0, 0, 1, 0)
    sequence.bits += timing
    picture = Bits().ue(0, 0).u(1, 0, 0).ue(0, 0, 0).u(1, 0).u(2, 0).ue(0, 0, 0).u(1, 1, 0, 0)
    return unit(3, 7, sequence.ended()) + unit(3, 8, picture.ended())


def field(planes: tuple[np.ndarray, ...], number: int, is_bottom: bool) -> bytes:
    """One field: every other row of each of the planes, luma first."""
    is_first = not number and not is_bottom
    slice_ = Bits().ue(0, 7, 0).u(4, number).u(1, 1, is_bottom)
    slice_ = slice_.ue(0).u(1, 0, 0) if is_first else slice_.u(1, 0)
    slice_.ue(0, 1)
    luma, *chroma = (plane[is_bottom::2] for plane in planes)
    for y in range(0, len(luma), 16):
        for x in range(0, WIDTH, 16):
            half = (slice(y // 2, y // 2 + 8), slice(x // 2, x // 2 + 8))
            slice_.ue(PCM).samples(luma[y : y + 16, x : x + 16], *(plane[half] for plane in chroma))
    start = unit(0, 9, Bits().u(3, 0).ended())
    return start + (parameters() if is_first else b"") + unit(3, 5 if is_first else 1, slice_.ended())


def write_fields(path: Path, frames: int = 40) -> Path:
    """Frames of `frame_of`, 25 a second, each as a top field and a bottom field."""
    with path.open("wb") as file:
        for index in range(frames):
            picture = (
                av.VideoFrame.from_ndarray(frame_of(index), format="rgb24").reformat(format="yuv420p").to_ndarray()
            )
            chroma = picture[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
            for is_bottom in (False, True):
                file.write(field((picture[:HEIGHT], *chroma), index % GROUP, is_bottom))
    return path
