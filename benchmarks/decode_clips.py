"""Clips for `decode.py`: a phone's film made longer and larger, with grain, as cameras and encoders leave it.

    python benchmarks/decode_clips.py FOLDER [--frames 300]

The camera sways over the demo's 1080p clip, played to and fro; the grain is drawn from a fixed seed. Clips
that are there already are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

SOURCE = Path(__file__).parents[1] / "pipelines/demo/clips/phone-vfr-1080p.mp4"
GRAIN, PLATES, MARGIN = 4.0, 8, 64  # standard deviation of 255, how many plates of it, their margin in pixels
SEEN = 0.9  # of the film's width and height, from which the rest is room to sway
ENCODERS = {
    "h264": ("libx264", {"preset": "veryfast", "crf": "22"}, "x264-params", "ref=3:log-level=error"),
    "hevc": ("libx265", {"preset": "veryfast", "crf": "24"}, "x265-params", "log-level=error:pools=2"),
}
SIZES = {"1080p": (1920, 1080, 30), "4k60": (3840, 2160, 60)}


@dataclass(frozen=True)
class Kind:
    """How a clip is coded: frames from key to key, and B-frames between two others."""

    name: str
    size: str
    codec: str
    group: int
    between: int


KINDS = [
    Kind(f"{size}-{codec}-{length}", size, codec, group, 3 if codec == "h264" else 4)
    for size, (_, _, rate) in SIZES.items()
    for codec in ENCODERS
    for length, group in (("long", 250), ("short", rate // 2))
] + [Kind("1080p-h264-phone", "1080p", "h264", 30, 0)]


def make_clips(folder: Path, frames: int) -> dict[str, Path]:
    """The clips of `KINDS` by name, each of `frames` frames; those that are missing in `folder` are written."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {kind.name: folder / f"{kind.name}-{frames}.mp4" for kind in KINDS}
    for size in SIZES:
        missing = [kind for kind in KINDS if kind.size == size and not paths[kind.name].exists()]
        if missing:
            _write(missing, {kind: paths[kind.name] for kind in missing}, SIZES[size], frames)
    return paths


def _write(kinds: list[Kind], paths: dict[Kind, Path], shape: tuple[int, int, int], frames: int) -> None:
    asides = {kind: paths[kind].with_suffix(".part.mp4") for kind in kinds}
    with ExitStack() as stack:
        outputs = [stack.enter_context(av.open(str(asides[kind]), "w")) for kind in kinds]
        streams = [_stream(output, kind, shape) for output, kind in zip(outputs, kinds, strict=True)]
        for picture in _film(*shape, frames):
            for output, stream in zip(outputs, streams, strict=True):
                output.mux(stream.encode(picture))
        for output, stream in zip(outputs, streams, strict=True):
            output.mux(stream.encode(None))
    for kind in kinds:
        asides[kind].rename(paths[kind])


def _stream(output, kind: Kind, shape: tuple[int, int, int]):
    encoder, options, name, more = ENCODERS[kind.codec]
    structure = f"keyint={kind.group}:bframes={kind.between}"
    stream = output.add_stream(encoder, rate=shape[2], options=options | {name: f"{structure}:{more}"})
    stream.width, stream.height, stream.pix_fmt = *shape[:2], "yuv420p"
    stream.codec_context.time_base = Fraction(1, shape[2])
    return stream


def _film(width: int, height: int, rate: int, frames: int) -> Iterator[av.VideoFrame]:
    with av.open(str(SOURCE)) as container:
        source = [frame.to_image() for frame in container.decode(video=0)]
    to_and_fro = source + source[-2:0:-1]
    noise = np.random.default_rng(0)
    plates = noise.normal(0, GRAIN, (PLATES, height + MARGIN, width + MARGIN)).round().astype(np.int16)
    for number in range(frames):
        time_s = number / rate
        picture = to_and_fro[int(30 * time_s) % len(to_and_fro)]
        pixels = picture.resize((width, height), Image.Resampling.BICUBIC, _window(picture, time_s))
        plate, y, x = noise.integers((PLATES, MARGIN, MARGIN))
        grain = plates[plate, y : y + height, x : x + width, None]
        frame = av.VideoFrame.from_ndarray(np.clip(pixels + grain, 0, 255).astype(np.uint8), format="rgb24")
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, rate)
        yield frame


def _window(picture: Image.Image, time_s: float) -> tuple[float, float, float, float]:
    x = (1 - SEEN) * picture.width * (0.5 + 0.5 * np.sin(1.1 * time_s))
    y = (1 - SEEN) * picture.height * (0.5 + 0.5 * np.cos(0.8 * time_s))
    return x, y, x + SEEN * picture.width, y + SEEN * picture.height


def main() -> None:
    """Write the clips and print their sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=300)
    options = parser.parse_args()
    for name, path in make_clips(options.folder, options.frames).items():
        print(f"{name}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
