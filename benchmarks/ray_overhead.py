"""What Ray costs a row: 1,000 spans of one small clip, no model, on Ray Data and in a plain loop.

python benchmarks/ray_overhead.py [--rows 1000] [--json]
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import click

from recap import jobs
from recap.graph.session import ray_session
from recap.pipeline import load_pipeline
from recap.report.progress import Progress

CLIP = Path(__file__).parents[1] / "pipelines/demo/clips/shapes/red-circle-right.mp4"


@click.command()
@click.option("--rows", default=1000)
@click.option("--json", "as_json", is_flag=True, help="Print the JSON object only.")
def main(rows: int, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pipeline = write_pipeline(Path(folder), rows)
        loop = timed(pipeline, folder, "loop")
        with ray_session(None):
            distributed = timed(pipeline, folder, "ray")
    result = {
        "rows": rows,
        "loop_ms_per_row": round(loop.ms_per_row, 2),
        "ray_ms_per_row": round(distributed.ms_per_row, 2),
        "ray_overhead_ms_per_row": round(distributed.ms_per_row - loop.ms_per_row, 2),
        "ray_seconds_to_first_row": round(distributed.times[0], 1),
    }
    if not as_json:
        click.echo(f"{rows} rows: loop {loop.times[-1]:.1f} s, Ray {distributed.times[-1]:.1f} s")
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


def timed(pipeline: Path, folder: str, runner: str) -> Clock:
    """A run with a fresh output, timed row by row."""
    output, clock = Path(folder) / runner, Clock()
    jobs.run(load_pipeline(pipeline, [f"output.path={output}"]), runner=runner, progress=clock)
    return clock


if __name__ == "__main__":
    main()
