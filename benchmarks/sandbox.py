"""What decoding in a child costs, against decoding in this process: the same clip, one and then the other.

    python benchmarks/sandbox.py [--rounds 20] [--json] [files…]

Without files, the demo's 1080p clip. Both readers are warm; their order changes from round to round. The
medians of wall time and of core-seconds (this process and the child) are compared; core-seconds hold on a
busy machine too.
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


def core_s() -> float:
    """Core-seconds of this process and its children so far, to the grain of the kernel's clock."""
    return sum(sum(each.cpu_times()[:2]) for each in (psutil.Process(), *psutil.Process().children()))


def measure(readers: dict[str, Reader], path: Path, rounds: int) -> dict:
    """Medians of one file by reader, and how much more the sandbox takes, in percent."""
    taken = {name: [] for name in readers}
    for number in range(rounds + 1):
        for name in sorted(readers, reverse=number % 2 == 1):
            cores, start = core_s(), time.perf_counter()
            readers[name].read(str(path), FrameRequest())
            if number:
                taken[name].append((time.perf_counter() - start, core_s() - cores))
    wall, cores = ({name: median(pair[at] for pair in pairs) for name, pairs in taken.items()} for at in (0, 1))
    return {"clip": path.name, "rounds": rounds, **_figures("wall_s", wall), **_figures("core_s", cores)}


def _figures(name: str, medians: dict[str, float]) -> dict:
    inside, sandboxed = medians["in_process"], medians["sandboxed"]
    overhead = 100 * (sandboxed / inside - 1)
    return {f"{name}_in_process": inside, f"{name}_sandboxed": sandboxed, f"{name}_overhead_percent": overhead}


def main() -> None:
    """Read the clips and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=[CLIP])
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--rounds", type=int, default=20, help="readings of each clip with each reader")
    options = parser.parse_args()
    readers, rows = (
        {"in_process": InProcessReader(DecodeSettings()), "sandboxed": SandboxedReader(DecodeSettings())},
        [],
    )
    for path in options.files:
        rows.append(measure(readers, path, options.rounds))
        print(
            "{clip}: {wall_s_overhead_percent:.1f} % more wall time, {core_s_overhead_percent:.1f} % more".format(
                **rows[-1]
            ),
            "core-seconds",
        )
    readers["sandboxed"].close()
    if options.json:
        print(json.dumps({"clips": rows}))


if __name__ == "__main__":
    main()
