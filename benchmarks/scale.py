"""What a clip costs as runs grow: the rehearsal engine on Ray, 1,000 to 100,000 clips, none of them read twice.

    python benchmarks/scale.py [--clips 1000 --clips 10000 --clips 100000] [--json]

Clips are spans of one small file, two frames of each. Seconds a clip are those in which an engine was ready (the
speed account's); the driver's memory is its largest resident set; the last hundredth is how long the last 1 % of the
clips took, times a hundred, against all of them: above 1 workers were idle at the end.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from ray_overhead import CLIP

from recap import jobs
from recap.pipeline import load_pipeline
from recap.report.progress import Progress


@click.command()
@click.option("--clips", multiple=True, default=(1_000, 10_000, 100_000), help="Sizes to measure.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON object only.")
@click.option("--one", type=int, hidden=True)
def main(clips: tuple[int, ...], as_json: bool, one: int | None) -> None:
    if one is not None:
        click.echo(json.dumps(measure(one)))
        return
    results = []
    for number in clips:
        command = [sys.executable, __file__, "--one", str(number)]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        results.append(json.loads(printed.splitlines()[-1]))
        if not as_json:
            click.echo(results[-1])
    click.echo(json.dumps({"runs": results}))


class Clock(Progress):
    """When each clip was done."""

    def __init__(self):
        super().__init__()
        self.times: list[float] = []

    def add(self, status: str) -> None:
        super().add(status)
        self.times.append(time.monotonic())


def measure(clips: int) -> dict[str, float]:
    """One run in this process."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        summary = jobs.run(load_pipeline(write_pipeline(Path(folder), clips)), progress=clock)
    assert summary.complete and summary.captioned == clips and summary.speed, summary
    return {
        "clips": clips,
        "ms_per_clip": round(1000 * summary.speed.working_s / clips, 3),
        "last_hundredth": round(100 * (clock.times[-1] - clock.times[-1 - clips // 100]) / summary.speed.working_s, 2),
        "starting_s": round(summary.speed.starting_s, 1),
        "driver_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def write_pipeline(folder: Path, clips: int) -> Path:
    """A manifest of spans that all differ, and a YAML over it."""
    with open(folder / "clips.csv", "w") as file:
        file.write("path,start,end\n")
        for number in range(clips):
            file.write(f"{CLIP.name},{number % 400 / 1000},{0.8 + number // 400 / 1000}\n")
    path = folder / "scale.yaml"
    path.write_text(
        f"corpus: {{kind: manifest, path: {folder}/clips.csv, root: {CLIP.parent}, "
        "start_column: start, end_column: end}\n"
        "frames: {count: 2}\nengine: {kind: rehearsal, max_new_tokens: 8}\nreview: {repair: false}\n"
        f"output: {{path: {folder}/out}}\n"
    )
    return path


if __name__ == "__main__":
    main()
