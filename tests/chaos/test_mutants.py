"""Whatever is done to a file, it is read, flagged or refused: nothing dies, hangs or leaks."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import psutil
import pytest

from recap.records import ClipError, FrameRequest
from recap.video import DecodeSettings, SandboxedReader

from .mutants import Mutant, mutants

REQUEST = FrameRequest(count=4, size=64)
SETTINGS = DecodeSettings(timeout_s=60, memory_gb=1)

OTHERS = {
    "a.mkv": "libx264",
    "a.flv": "libx264",
    "a.ts": "libx264",
    "a.avi": "mpeg4",
    "a.mpg": "mpeg2video",
    "a.webm": "libvpx-vp9",
    "av1.mp4": "libsvtav1",
    "hevc.mp4": "libx265",
}


def outcome(reader: SandboxedReader, path: Path) -> tuple:
    """What a record would say of the file."""
    try:
        frames = reader.read(str(path), REQUEST)
    except ClipError as error:
        assert str(path) not in error.message
        return error.stage, error.kind, error.message
    assert frames.pixels.shape == (4, 64, 64, 3)
    return frames.decoder, frames.flags, frames.times_s


def kind_of(result: tuple) -> str:
    if result[0] in ("probe", "decode"):
        return "/".join(result[:2])
    return f"read with {', '.join(result[1])}" if result[1] else "read"


def held() -> tuple[set[str], set[str], int]:
    """What a leak would add to: open files, shared memory, child processes."""
    return set(os.listdir("/proc/self/fd")), set(os.listdir("/dev/shm")), len(psutil.Process().children())


def survey(some: Iterable[Mutant], folder: Path, reader: SandboxedReader) -> Counter[str]:
    """How many mutants came to which end."""
    ends: Counter[str] = Counter()
    for mutant in some:
        path = folder / mutant.name
        path.write_bytes(mutant.data)
        ends[kind_of(outcome(reader, path))] += 1
        path.unlink()
    return ends


def encoded(clip: Path, path: Path, codec: str) -> Path:
    """The first 30 pictures of `clip` with `codec`, in the container that `path` names."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=25, options={"preset": "12"} if "av1" in codec else {})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number, frame in enumerate(islice(source.decode(video=0), 30)):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def small_clips(home: Path) -> list[Path]:
    folder = home / "pipelines/demo/clips"
    return [folder / "realshort.mp4", *sorted((folder / "shapes").glob("*-right.mp4"))[:2]]


def test_the_same_seed_makes_the_same_mutants(home):
    clips = {clip.name: clip for clip in small_clips(home)}
    first, again, other = (list(mutants(list(clips.values()), 30, seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len({mutant.name for mutant in first}) == 30 and {mutant.parent for mutant in first} == set(clips)
    assert sum(mutant.data != clips[mutant.parent].read_bytes() for mutant in first) > 25


def test_a_few_mutants(home, tmp_path):
    before, reader = held(), SandboxedReader(SETTINGS)
    ends = survey(mutants(small_clips(home), 30), tmp_path, reader)
    reader.close()
    assert ends.total() == 30 and len(ends) > 3, ends
    assert held() == before


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_mutants_in_every_container(home, tmp_path):
    clips = small_clips(home)
    clips += [home / "pipelines/demo/clips/cockatoo.mp4"]
    clips += [encoded(clips[0], tmp_path / name, codec) for name, codec in OTHERS.items()]
    before, reader = held(), SandboxedReader(SETTINGS)
    ends = survey(mutants(clips, 800), tmp_path, reader)
    reader.close()
    print(*(f"{count:4d} {end}" for end, count in ends.most_common()), sep="\n")
    assert ends.total() == 800 and held() == before
