"""Clips for `decode.py`: a phone's film made longer and larger, with grain, as cameras and encoders leave it.

    python benchmarks/decode_clips.py FOLDER [--frames 300] [--only 4k60-hevc]

The camera sways over the demo's 1080p clip, played to and fro; the grain is drawn from a fixed seed. Clips
that are there already are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SOURCE = Path(__file__).parents[1] / "pipelines/demo/clips/phone-vfr-1080p.mp4"
GRAIN, PLATES, MARGIN = 4.0, 8, 64  # standard deviation of 255, how many plates of it, their margin in pixels
ROOM = 10  # the film is larger than what is seen of it by one part in so many, in which the camera sways
ENCODERS = {
    "h264": ("libx264", "veryfast", "x264-params", "ref=3:scenecut=0:log-level=error"),
    "hevc": (
        "libx265",
        "superfast",
        "x265-params",
        "sao=1:scenecut=0:log-level=error:pools=2",
    ),
}
CRF, BETWEEN = {"h264": 22, "hevc": 24}, {"h264": 3, "hevc": 4}
SPEED = 30  # pictures of the source a second
SIZES = {"1080p": (1920, 1080, 30), "4k60": (3840, 2160, 60)}


@dataclass(frozen=True)
class Kind:
    """How a clip is coded: frames from key to key, B-frames between two others, and the factor of its quality."""

    name: str
    size: str
    codec: str
    group: int
    between: int
    crf: int


KINDS = [
    Kind(f"{size}-{codec}-{length}", size, codec, group, BETWEEN[codec], CRF[codec])
    for size, (_, _, rate) in SIZES.items()
    for codec in ENCODERS
    for length, group in (("long", 250), ("short", rate // 2))
] + [Kind("1080p-h264-phone", "1080p", "h264", 30, 0, CRF["h264"])]


def make_clips(folder: Path, frames: int, only: str = "") -> list[Path]:
    """The clips of `KINDS` with `only` in their name, each of `frames` frames; missing ones are written."""
    return write_clips(folder, [kind for kind in KINDS if only in kind.name], frames)


def write_clips(folder: Path, kinds: Iterable[Kind], frames: int) -> list[Path]:
    """A clip of each kind, of `frames` frames; those that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {kind: folder / f"{kind.name}-{frames}.mp4" for kind in kinds}
    for size in SIZES:
        missing = {kind: path for kind, path in paths.items() if kind.size == size and not path.exists()}
        if missing:
            _write(missing, SIZES[size], frames)
    return list(paths.values())


def _write(paths: dict[Kind, Path], shape: tuple[int, int, int], frames: int) -> None:
    asides = {kind: path.with_suffix(".part.mp4") for kind, path in paths.items()}
    with ExitStack() as stack:
        outputs = [stack.enter_context(av.open(str(aside), "w")) for aside in asides.values()]
        streams = [_stream(output, kind, shape) for output, kind in zip(outputs, paths, strict=True)]
        for picture in _film(*shape, frames):
            for output, stream in zip(outputs, streams, strict=True):
                output.mux(stream.encode(picture))
        for output, stream in zip(outputs, streams, strict=True):
            output.mux(stream.encode(None))
    for kind, aside in asides.items():
        aside.rename(paths[kind])


def _stream(output, kind: Kind, shape: tuple[int, int, int]):
    encoder, preset, name, more = ENCODERS[kind.codec]
    structure = f"keyint={kind.group}:bframes={kind.between}"
    options = {"preset": preset, "crf": str(kind.crf), name: f"{structure}:{more}"}
    stream = output.add_stream(encoder, rate=shape[2], options=options)
    stream.width, stream.height, stream.pix_fmt = *shape[:2], "yuv420p"
    stream.codec_context.time_base = Fraction(1, shape[2])
    return stream


def _film(width: int, height: int, rate: int, frames: int) -> Iterator[av.VideoFrame]:
    size = width + width // ROOM, height + height // ROOM
    with av.open(str(SOURCE)) as container:
        source = [frame.reformat(*size, "yuv420p", interpolation="BICUBIC") for frame in container.decode(video=0)]
    there = [_planes(frame.to_ndarray(), *size) for frame in source]
    to_and_fro = there + there[-2:0:-1]
    noise = np.random.default_rng(0)
    plates = noise.normal(0, GRAIN, (PLATES, height + MARGIN, width + MARGIN)).round().astype(np.int16)
    for number in range(frames):
        seen = _window(to_and_fro[int(SPEED * number / rate) % len(to_and_fro)], number / rate, width, height)
        plate, y, x = noise.integers((PLATES, MARGIN, MARGIN))
        grainy = seen[0] + plates[plate, y : y + height, x : x + width]
        planes = np.clip(grainy, 0, 255).astype(np.uint8), *seen[1:]
        pixels = np.concatenate([plane.ravel() for plane in planes]).reshape(-1, width)
        frame = av.VideoFrame.from_ndarray(pixels, format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, rate)
        yield frame


def _planes(pixels: np.ndarray, width: int, height: int) -> list[np.ndarray]:
    luma, *chroma = np.split(pixels.ravel(), [width * height, width * height * 5 // 4])
    return [luma.reshape(height, width), *(plane.reshape(height // 2, width // 2) for plane in chroma)]


def _window(planes: list[np.ndarray], time_s: float, width: int, height: int) -> list[np.ndarray]:
    x = round(width / ROOM / 4 * (1 + np.sin(1.1 * time_s)))
    y = round(height / ROOM / 4 * (1 + np.cos(0.8 * time_s)))
    luma, *chroma = planes
    small = slice(y, y + height // 2), slice(x, x + width // 2)
    return [luma[2 * y : 2 * y + height, 2 * x : 2 * x + width], *(plane[small] for plane in chroma)]


def main() -> None:
    """Write the clips and print their sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--only", default="", help="only clips with this in their name")
    options = parser.parse_args()
    for path in make_clips(options.folder, options.frames, options.only):
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
