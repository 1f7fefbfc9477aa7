"""How many clips a second one core reads into model-size frames, beside plain ways of doing so.

    python benchmarks/decode.py [--clips FOLDER] [--rounds 3] [--json] [files…]

Without files, the clips of `decode_clips.py`, written into FOLDER once. Each round reads the clip in every way,
in turning order, on one thread; core-seconds (those of ffmpeg's process too) are medians over the rounds, `ratio`
the median of the rounds' core-seconds of decord over this way's. PSNR is of the sixteen pictures against those
of `pyav`, which decodes every frame: mean, worst and last, null where all are equal. `--json` prints one JSON
object as the last line.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

import av
import decord
import numpy as np
from decode_clips import make_clips
from frames_fast import psnr_db
from PIL import Image

from recap.records import FrameRequest
from recap.video import DecodeSettings, InProcessReader, frame_indices, missing_nvdec
from recap.video.view import first_size, scaled

REQUEST = FrameRequest()
EQUAL_DB = 100.0  # what an equal picture counts as in a mean
Way = Callable[[Path], tuple[str, np.ndarray]]


def model_size(frames) -> np.ndarray:
    """(frames, size, size, 3) of full-size RGB frames, with Pillow: each is resized twice, then cropped."""
    return np.stack([_cropped(Image.fromarray(frame)) for frame in frames])


def _cropped(picture: Image.Image) -> np.ndarray:
    first = first_size(*picture.size, REQUEST.view, REQUEST.size)
    second = scaled(*first, REQUEST.size)
    for size in (first, second):
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = ((side - REQUEST.size) // 2 for side in second)
    return np.asarray(picture)[top : top + REQUEST.size, left : left + REQUEST.size]


def with_decord(path: Path) -> tuple[str, np.ndarray]:
    """Frames by number at full size."""
    reader = decord.VideoReader(str(path), num_threads=1)
    indices = frame_indices(len(reader), REQUEST.count)
    return "decord", model_size(reader.get_batch(indices).asnumpy())


def with_pyav(path: Path) -> tuple[str, np.ndarray]:
    """Every frame from the first to the last wanted one, decoded and the wanted ones kept."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        indices = frame_indices(frame_count(path), REQUEST.count)
        frames = []
        for number, frame in enumerate(container.decode(stream)):
            if number in indices:
                frames += [model_size([rgb(frame)])] * indices.count(number)
            if number == indices[-1]:
                break
    return "pyav", np.concatenate(frames)


def with_ffmpeg(path: Path) -> tuple[str, np.ndarray]:
    """The command line selects the frames and writes them at full size."""
    with av.open(str(path)) as container:
        width, height = container.streams.video[0].width, container.streams.video[0].height
    indices = frame_indices(frame_count(path), REQUEST.count)
    chosen = "+".join(rf"eq(n\,{index})" for index in sorted(set(indices)))
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(path), "-vf", f"select={chosen}", "-vsync", "0"]
    command += ["-sws_flags", "bicubic", "-f", "rawvideo", "-pix_fmt", "rgb24", "-frames:v", str(len(set(indices)))]
    raw = subprocess.run([*command, "pipe:1"], capture_output=True, check=True).stdout
    frames = dict(zip(sorted(set(indices)), np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3), strict=True))
    return "ffmpeg", model_size([frames[index] for index in indices])


def with_recap(**settings: str) -> Way:
    """recap's reader with such settings of `decode`."""
    reader = InProcessReader(DecodeSettings(**settings))

    def read(path: Path) -> tuple[str, np.ndarray]:
        frames = reader.read(str(path), REQUEST)
        return frames.decoder, frames.pixels

    return read


def rgb(frame: av.VideoFrame) -> np.ndarray:
    """A frame at full size."""
    return frame.reformat(format="rgb24", interpolation="BICUBIC", threads=1).to_ndarray()


def frame_count(path: Path) -> int:
    """The frames of a clip, by its packets."""
    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def core_s() -> float:
    """Core-seconds of this process and its ended children so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measure(ways: dict[str, Way], path: Path, rounds: int) -> list[dict]:
    """One row for each way of reading a clip."""
    results = {name: way(path) for name, way in ways.items()}  # the first reading does not count
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in sorted(ways, reverse=number % 2 == 1):
            start = core_s()
            ways[name](path)
            taken[name].append(core_s() - start)
    truth = results["pyav"][1]
    return [
        {"clip": path.name, "way": name, "decoder": results[name][0]}
        | speed(taken[name], taken["decord"])
        | likeness(results[name][1], truth)
        for name in ways
    ]


def speed(taken: list[float], baseline: list[float]) -> dict:
    """Medians over the rounds."""
    core = median(taken)
    ratio = median(base / own for base, own in zip(baseline, taken, strict=True))
    return {"core_s": round(core, 3), "clips_per_s_per_core": round(1 / core, 3), "ratio": round(ratio, 2)}


def likeness(pictures: np.ndarray, truth: np.ndarray) -> dict:
    """PSNR in dB of pictures against the true ones, picture by picture."""
    each = [psnr_db(*pair) for pair in zip(pictures, truth, strict=True)]
    filled = [EQUAL_DB if value is None else value for value in each]
    figures = {"psnr_mean_db": mean(filled), "psnr_worst_db": min(filled), "psnr_last_db": filled[-1]}
    return {name: None if value == EQUAL_DB else round(value, 1) for name, value in figures.items()}


def main() -> None:
    """Read the clips and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--clips", type=Path, default=Path(tempfile.gettempdir()) / "recap-decode-clips")
    parser.add_argument("--frames", type=int, default=300, help="length of the clips that are written")
    parser.add_argument("--only", default="", help="only the written clips with this in their name")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    ways = {"decord": with_decord, "pyav": with_pyav, "exact": with_recap(), "fast": with_recap(decoder="fast")}
    if shutil.which("ffmpeg"):
        ways["ffmpeg"] = with_ffmpeg
    else:
        print("there is no ffmpeg command here: it is left out")
    if problem := missing_nvdec():
        print(f"nvdec is left out: {problem}")
    else:
        ways |= {"nvdec": with_recap(hardware="nvdec"), "nvdec fast": with_recap(hardware="nvdec", decoder="fast")}
    rows = []
    for path in options.files or make_clips(options.clips, options.frames, options.only):
        for row in measure(ways, path, options.rounds):
            rows.append(row)
            print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    if options.json:
        print(json.dumps({"rounds": options.rounds, "size": REQUEST.size, "clips": rows}))


if __name__ == "__main__":
    main()
