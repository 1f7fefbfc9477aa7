"""One decoding process with a thread for each core, or a process with one thread for each core?

    python benchmarks/decode_threads.py [files…] [--clips 8] [--rounds 3] [--json]

Reads each file `--clips` times as recap does, on all cores, both ways by turns. Clips a second of wall time and core-
seconds a clip are medians over the rounds, `ratio` that of the rounds' ratios. Without files, the 1080p clips of
`decode_clips.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from decode_clips import make_clips

from recap.records import FrameRequest
from recap.video import DecodeSettings, InProcessReader, container

CORES = len(os.sched_getaffinity(0))
WAYS = {"threads": (1, CORES), "processes": (CORES, 1)}  # processes, and threads of each


@cache
def reader(threads: int) -> InProcessReader:
    """recap's, whose codecs use so many threads."""
    if threads > 1:
        plain = container._video_stream

        def threaded(opened):
            stream = plain(opened)
            stream.thread_type, stream.codec_context.thread_count = "AUTO", threads
            return stream

        container._video_stream = threaded
    return InProcessReader(DecodeSettings())


def read(path: str, threads: int) -> float:
    """Core-seconds of one clip, all threads together."""
    start = time.process_time()
    reader(threads).read(path, FrameRequest())
    return time.process_time() - start


def measure(pool: Executor, path: Path, threads: int, clips: int) -> tuple[float, float]:
    """Clips a second, and core-seconds a clip."""
    start = time.perf_counter()
    taken = list(pool.map(read, [str(path)] * clips, [threads] * clips))
    return clips / (time.perf_counter() - start), median(taken)


def compare(path: Path, clips: int, rounds: int) -> dict:
    """The medians of both ways over one file."""
    with ExitStack() as stack:
        pools = {
            name: stack.enter_context(ProcessPoolExecutor(processes, mp_context=get_context("spawn")))
            for name, (processes, _) in WAYS.items()
        }
        taken = {name: [] for name in WAYS}
        for turn in range(rounds + 1):
            for name in sorted(WAYS, reverse=turn % 2 == 1):
                taken[name].append(measure(pools[name], path, WAYS[name][1], clips))
    return {"clip": path.name} | figures({name: each[1:] for name, each in taken.items()})  # the first starts processes


def figures(taken: dict[str, list[tuple[float, float]]]) -> dict[str, float]:
    """Medians over the rounds."""
    row = {}
    for name, rounds in taken.items():
        speeds, costs = zip(*rounds, strict=True)
        row |= {f"{name}_clips_per_s": round(median(speeds), 3), f"{name}_core_s": round(median(costs), 3)}
    ratios = (own[0] / base[0] for own, base in zip(taken["processes"], taken["threads"], strict=True))
    return row | {"ratio": round(median(ratios), 2)}


def main() -> None:
    """Read the files and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--clips", type=int, default=8, help="readings of each file a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    files = options.files or make_clips(Path(tempfile.gettempdir()) / "recap-decode-clips", 300, "1080p")
    rows = [compare(path, options.clips, options.rounds) for path in files]
    for row in rows:
        print(", ".join(f"{name} {value}" for name, value in row.items()))
    if options.json:
        print(json.dumps({"cores": CORES, "clips": rows}))


if __name__ == "__main__":
    main()
