"""Small clips whose every frame says its own index, so that a wrong frame is noticed.

A frame shows eight columns in its centre square, black or white: its index in binary, lowest bit on
the left. The strip above them is red, the one below blue, the margins grey.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 128, 96
BITS = 8
ENCODER_OPTIONS = {
    "libx264": {"preset": "ultrafast", "bf": "2", "g": "12", "x264-params": "log-level=error"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=error:pools=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
}


def frame_of(index: int) -> np.ndarray:
    """The (HEIGHT, WIDTH, 3) uint8 picture that says `index`."""
    picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    left, column = (WIDTH - HEIGHT) // 2, HEIGHT // BITS
    for bit in range(BITS):
        picture[:, left + bit * column : left + (bit + 1) * column] = 255 * (index >> bit & 1)
    picture[: HEIGHT // 4] = (255, 0, 0)
    picture[-HEIGHT // 4 :] = (0, 0, 255)
    return picture


def index_of(pixels: np.ndarray) -> int:
    """The index that a centre-cropped upright picture (S, S, 3) says; -1 if it is not upright."""
    size = len(pixels)
    top, bottom = pixels[size // 8].mean(axis=0), pixels[-size // 8].mean(axis=0)
    if not (top[0] > top[2] + 60 and bottom[2] > bottom[0] + 60):
        return -1
    centres = ((np.arange(BITS) + 0.5) * size / BITS).astype(int)
    return int(sum(1 << bit for bit, x in enumerate(centres) if pixels[size // 2, x].mean() > 127))


def encode(
    path: Path,
    frames: int = 40,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int | Fraction = 25,
    pts: Callable[[int], int] = lambda index: index,
    time_base: Fraction | None = None,
    muxing: dict[str, str] | None = None,
    quarter_turns: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip of `frames` frames shown at `pts(index)` units of `time_base` (default 1/rate s).

    The pictures are stored turned counter-clockwise by `quarter_turns`.
    """
    with av.open(str(path), "w", options=muxing or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or ENCODER_OPTIONS.get(codec, {}))
        stream.pix_fmt = pix_fmt
        stream.height, stream.width = np.rot90(frame_of(0), quarter_turns).shape[:2]
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = time_base or Fraction(1, rate)
        for index in range(frames):
            picture = np.ascontiguousarray(np.rot90(frame_of(index), quarter_turns))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = pts(index), time_base or Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def packets_of(codec: str, indices: range, size: tuple[int, int], options: dict[str, str]) -> list[av.Packet]:
    """The coded frames of `indices`, 25 a second, at the `size` (width, height)."""
    context = av.CodecContext.create(codec, "w")
    context.width, context.height = size
    context.pix_fmt, context.time_base, context.thread_count = "yuv420p", Fraction(1, 25), 1
    context.options = options
    packets = []
    for index in indices:
        frame = av.VideoFrame.from_ndarray(frame_of(index), format="rgb24").reformat(*size, "yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, 25)
        packets += context.encode(frame)
    packets += context.encode(None)
    for packet in packets:
        packet.time_base = Fraction(1, 25)
    return packets


def encode_audio(path: Path, seconds: float = 0.5) -> Path:
    """Write a file that holds a silent sound track and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for start in range(0, int(16000 * seconds), 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 16000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turn(path: Path, clockwise: int) -> Path:
    """Make an mp4's last track header ask for `clockwise` quarter turns, as phones do."""
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[clockwise]
    return show_by(path, cosine, sine, -sine, cosine)


def show_by(path: Path, *matrix: int) -> Path:
    """Have an mp4's last track header ask for what `matrix` (a, b, c, d) does: x' = ax + cy, y' = bx + dy."""
    data = bytearray(path.read_bytes())
    start = data.rindex(b"tkhd") + 4 + 40
    for place, value in zip((0, 1, 3, 4), matrix, strict=True):
        struct.pack_into(">i", data, start + 4 * place, value << 16)
    path.write_bytes(data)
    return path


def cut(source: Path, path: Path, fraction: float) -> Path:
    """Write the first `fraction` of a file's bytes, as an interrupted download would."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


def damage(source: Path, path: Path, at: float = 0.5, length: int = 400) -> Path:
    """Write a copy with `length` bytes overwritten in the middle."""
    data = bytearray(source.read_bytes())
    start = int(len(data) * at)
    data[start : start + length] = np.random.default_rng(7).bytes(length)
    path.write_bytes(data)
    return path


def remux(source: Path, path: Path, shift_s: float) -> Path:
    """Copy the picture, its first `shift_s` seconds put before the start: an mp4 then gets an edit list."""
    with av.open(str(source)) as reading, av.open(str(path), "w") as writing:
        stream = reading.streams.video[0]
        copied = writing.add_stream_from_template(stream)
        shift = round(shift_s / stream.time_base)
        for packet in reading.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copied
                writing.mux(packet)
    return path


def side_by_side(path: Path, *sources: Path, attached: str = "") -> Path:
    """Copy the first stream of each source into one file, in their order, and attach a text to it."""
    with ExitStack() as stack:
        writing = stack.enter_context(av.open(str(path), "w"))
        readings = [stack.enter_context(av.open(str(source))) for source in sources]
        copies = [writing.add_stream_from_template(reading.streams[0]) for reading in readings]
        if attached:
            writing.add_attachment(attached, "text/plain", b"words")
        for reading, copied in zip(readings, copies, strict=True):
            for packet in reading.demux(0):
                if packet.dts is not None:
                    packet.stream = copied
                    writing.mux(packet)
    return path
