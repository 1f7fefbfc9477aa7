"""What Ray costs a row: 1,000 spans of one small clip, no model, on Ray Data and in a plain loop.

python benchmarks/ray_overhead.py [--rows 1000] [--rounds 3] [--json]

The two take turns at being first. Figures are medians of the rounds, that of the difference of the rounds' differences.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from statistics import median

import click

from recap import jobs
from recap.graph.session import ray_session
from recap.pipeline import load_pipeline
from recap.report.progress import Progress

SIDES = ("loop", "ray")
CLIP = Path(__file__).parents[1] / "pipelines/demo/clips/shapes/red-circle-right.mp4"


@click.command()
@click.option("--rows", default=1000)
@click.option("--rounds", default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the JSON object only.")
def main(rows: int, rounds: int, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pipeline = write_pipeline(Path(folder), rows)
        found = [measure(pipeline, Path(folder), turn) for turn in range(rounds)]
    differences = [each["ray"].ms_per_row - each["loop"].ms_per_row for each in found]
    result = {
        "rows": rows,
        **{f"{side}_ms_per_row": round(median(each[side].ms_per_row for each in found), 2) for side in SIDES},
        "ray_overhead_ms_per_row": round(median(differences), 2),
        "differences": [round(each, 2) for each in differences],
        "ray_seconds_to_first_row": round(median(each["ray"].times[0] for each in found), 1),
    }
    if not as_json:
        for each in found:
            click.echo(f"{rows} rows: loop {each['loop'].times[-1]:.1f} s, Ray {each['ray'].times[-1]:.1f} s")
    click.echo(json.dumps(result))


class Clock(Progress):
    """Seconds from the start of the round at which each row came back."""

    def start(self, total: int, done: Mapping[str, int]) -> None:
        super().start(total, done)
        self.started, self.times = time.monotonic(), []

    def add(self, status: str) -> None:
        super().add(status)
        self.times.append(time.monotonic() - self.started)

    @property
    def ms_per_row(self) -> float:
        """Steady pace: over the last three quarters of the rows, so that starting workers does not count."""
        quarter = len(self.times) // 4
        return (self.times[-1] - self.times[quarter]) / (len(self.times) - quarter) * 1000


def write_pipeline(folder: Path, rows: int) -> Path:
    """A manifest of `rows` spans and the pipeline over it."""
    spans = "".join(f"{CLIP.name},{number / 1000},1.5\n" for number in range(rows))
    (folder / f"clips{rows}.csv").write_text("path,start,end\n" + spans)
    path = folder / f"pipeline{rows}.yaml"
    path.write_text(
        f"corpus: {{kind: manifest, path: {folder}/clips{rows}.csv, root: {CLIP.parent}, "
        "start_column: start, end_column: end}\n"
        "engine: {kind: rehearsal, max_new_tokens: 8}\noutput: {path: unset}\n"
    )
    return path


def measure(pipeline: Path, folder: Path, turn: int) -> dict[str, Clock]:
    """One round: both ways, the other one first than in the round before."""
    return {side: timed(pipeline, folder / f"{side}-{turn}", side) for side in SIDES[:: -1 if turn % 2 else 1]}


def timed(pipeline: Path, output: Path, runner: str) -> Clock:
    """A run with a fresh output, timed row by row."""
    clock = Clock()
    with ray_session(None) if runner == "ray" else nullcontext():
        jobs.run(load_pipeline(pipeline, [f"output.path={output}"]), runner=runner, progress=clock)
    return clock


if __name__ == "__main__":
    main()
