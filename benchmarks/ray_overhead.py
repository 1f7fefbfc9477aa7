"""What Ray costs a row: 1,000 spans of one small clip, no model, on Ray Data and in a plain loop.

python benchmarks/ray_overhead.py [--rows 1000] [--json]
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import click

from recap import jobs
from recap.graph.ray_graph import ray_session
from recap.pipeline import load_pipeline

CLIP = Path(__file__).parents[1] / "pipelines/demo/clips/shapes/red-circle-right.mp4"


@click.command()
@click.option("--rows", default=1000)
@click.option("--json", "as_json", is_flag=True, help="Print the JSON object only.")
def main(rows: int, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pipeline = write_pipeline(Path(folder), rows)
        loop_s = timed(pipeline, folder, "loop")
        with ray_session(None):
            timed(write_pipeline(Path(folder), 8), folder, "ray")  # the workers' files are warm now
            ray_s = timed(pipeline, folder, "ray")
    result = {
        "rows": rows,
        "loop_ms_per_row": round(loop_s / rows * 1000, 2),
        "ray_ms_per_row": round(ray_s / rows * 1000, 2),
        "ray_overhead_ms_per_row": round((ray_s - loop_s) / rows * 1000, 2),
    }
    if not as_json:
        click.echo(f"{rows} rows: loop {loop_s:.1f} s, Ray {ray_s:.1f} s")
    click.echo(json.dumps(result))


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


def timed(pipeline: Path, folder: str, runner: str) -> float:
    """Seconds of a whole run with a fresh output, planning and shards included."""
    output = Path(folder) / f"{pipeline.stem}-{runner}"
    started = time.monotonic()
    jobs.run(load_pipeline(pipeline, [f"output.path={output}"]), runner=runner)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
