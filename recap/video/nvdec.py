"""The decoder chip of an NVIDIA card, through FFmpeg."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recap.records import ClipError
from recap.video import sparse_decoder
from recap.video.failure import DecoderFailed
from recap.video.probe import Probe
from recap.video.pyav_decoder import PyavDecoder
from recap.video.timeline import Timeline
from recap.video.upright import Size, in_memory

if TYPE_CHECKING:
    from av.codec.context import CodecContext
    from av.codec.hwaccel import HWAccel
    from av.packet import Packet

Shots = Iterator[tuple[float, np.ndarray]]
UNUSABLE = (
    "decode.hardware: NVDEC cannot be used here; it takes an NVIDIA card with its driver, in a container also "
    "NVIDIA_DRIVER_CAPABILITIES=compute,video; else leave the setting out"
)
SIDE, FRAMES = 256, 12  # of the clip that a chip is tried on


class Nvdec:
    """The chip of one of this process's cards, which has shown that it decodes as FFmpeg itself does.

    Holds the card's context for as long as it lives. Raises ValueError where no chip does.
    """

    def __init__(self) -> None:
        from av.codec.hwaccel import HWAccel

        card = str(os.getpid() % max(1, _cards()))
        self.accelerator = HWAccel("cuda", card, allow_software_fallback=False, is_hw_owned=True)
        self._context = _prove(self.accelerator)

    def shots(
        self, path: str, probe: Probe, timeline: Timeline, indices: Sequence[int], size: Size | None
    ) -> tuple[str, Shots]:
        """How the frames of the ascending `indices` are read, and the frames as from `sparse_frames`."""
        if sparse_decoder.suits(probe, timeline):
            frames = sparse_decoder.sparse_frames(path, probe, timeline, indices, size, self.accelerator)
            return "nvdec-sparse", _or_failed(frames)
        return "nvdec", _or_failed(_undamaged(PyavDecoder(path, timeline, size, self.accelerator), indices))


def missing_nvdec() -> str | None:
    """Why `decode.hardware: nvdec` cannot be had on this machine, in words for the user; None where it can."""
    try:
        Nvdec()
    except ValueError as error:
        return str(error)
    return None


def _cards() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len(visible.split(","))
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def _undamaged(decoder: PyavDecoder, indices: Sequence[int]) -> Shots:
    yield from decoder.frames(indices)
    if decoder.damaged:
        raise DecoderFailed("the chip reports damage")


def _or_failed(frames: Shots) -> Shots:
    """A chip that does not know a codec, or has no room, refuses a file already when it is opened."""
    try:
        yield from frames
    except (ClipError, RuntimeError) as error:
        raise DecoderFailed(str(error)) from error


def _prove(accelerator: HWAccel) -> CodecContext:
    """A decoder on the chip, after it has decoded a clip to what FFmpeg itself makes of it."""
    import av

    packets = _clip()
    try:
        chip = av.CodecContext.create("h264", "r", accelerator)
        shown = _decoded(chip, packets)
    except (av.error.FFmpegError, RuntimeError) as error:
        raise ValueError(f"{UNUSABLE} ({error})") from None
    if not np.array_equal(shown, _decoded(av.CodecContext.create("h264", "r"), packets)):
        raise ValueError("decode.hardware: this card's NVDEC does not decode to the standard's pixels; leave it out")
    return chip


def _clip() -> list[Packet]:
    import av

    encoder = av.CodecContext.create("libx264", "w")
    encoder.width = encoder.height = SIDE
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
    ramp = np.add.outer(np.arange(SIDE), 2 * np.arange(SIDE))
    pictures = (np.stack([ramp + 9 * at, ramp * 3 - 5 * at, ramp // 2 + 7 * at], -1) for at in range(FRAMES))
    frames = [av.VideoFrame.from_ndarray(picture.astype(np.uint8), "rgb24") for picture in pictures]
    return [packet for frame in [*frames, None] for packet in encoder.encode(frame)]


def _decoded(decoder: CodecContext, packets: list[Packet]) -> np.ndarray:
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return np.stack([in_memory(frame).to_ndarray() for frame in frames])
