"""What decoding in a child costs, against decoding in this process: the same clip, one and then the other.

    python benchmarks/sandbox.py [--rounds 20] [--json] [files…]

Without files, the demo's 1080p clip. Both readers are warm, and their order changes from round to round. Wall
time and core-seconds (of this process and the child) are compared within each round, and the median of that
is given; core-seconds hold on a busy machine too.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median

import psutil

from recap.records import FrameRequest
from recap.video import DecodeSettings, InProcessReader, Reader, SandboxedReader

CLIP = Path(__file__).parents[1] / "pipelines/demo/clips/phone-vfr-1080p.mp4"
CPU_CLOCK = 2  # of a process, behind its id in Linux's numbers of clocks


def core_s() -> float:
    """Core-seconds of this process and its children so far."""
    children = (child.pid for child in psutil.Process().children())
    return time.process_time() + sum(time.clock_gettime(~pid << 3 | CPU_CLOCK) for pid in children)


def once(reader: Reader, path: Path) -> tuple[float, float]:
    """Wall time and core-seconds of one reading."""
    cores, start = core_s(), time.perf_counter()
    reader.read(str(path), FrameRequest())
    return time.perf_counter() - start, core_s() - cores


def measure(readers: dict[str, Reader], path: Path, rounds: int) -> dict:
    """Medians of one file by reader, and the median of how much more a round's sandboxed reading took."""
    taken = {name: [once(reader, path)] for name, reader in readers.items()}  # the first does not count
    for number in range(rounds):
        for name in sorted(readers, reverse=number % 2 == 1):
            taken[name].append(once(readers[name], path))
    row = {"clip": path.name, "rounds": rounds}
    for at, what in enumerate(("wall", "core")):
        inside, sandboxed = ([pair[at] for pair in taken[name][1:]] for name in ("in_process", "sandboxed"))
        more = median(there / here - 1 for here, there in zip(inside, sandboxed, strict=True))
        row[f"in_process_{what}_s"], row[f"sandboxed_{what}_s"] = round(median(inside), 3), round(median(sandboxed), 3)
        row[f"{what}_overhead_percent"] = round(100 * more, 2)
    return row


def main() -> None:
    """Read the clips and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=[CLIP])
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--rounds", type=int, default=20, help="readings of each clip with each reader")
    options = parser.parse_args()
    sandbox, rows = SandboxedReader(DecodeSettings()), []
    for path in options.files:
        rows.append(
            measure({"in_process": InProcessReader(DecodeSettings()), "sandboxed": sandbox}, path, options.rounds)
        )
        print(
            "{clip}: {wall_overhead_percent} % of wall time, {core_overhead_percent} % of core-seconds".format(
                **rows[-1]
            )
        )
    sandbox.close()
    if options.json:
        print(json.dumps({"clips": rows}))


if __name__ == "__main__":
    main()
