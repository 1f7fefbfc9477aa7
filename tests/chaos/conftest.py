from __future__ import annotations

import sys

import pytest

# The command, on the runner that its first argument names.
RECAP = """
import sys
from functools import partial
from recap import cli, jobs
jobs.run = partial(jobs.run, runner=sys.argv[1])
cli.main(sys.argv[2:])
"""


@pytest.fixture
def recap_on():
    """A function from a runner (ray, or the much faster loop) and arguments to the command line of `recap`."""
    return lambda runner, *arguments: [sys.executable, "-c", RECAP, runner, *map(str, arguments)]


@pytest.fixture
def pipeline(tmp_path, home):
    """Many spans of one small clip: some seconds of work, committed in small pieces to `tmp_path / "out"`."""
    clips = home / "pipelines/demo/clips/shapes"
    spans = "".join(f"red-circle-right.mp4,{number / 1000},1.5\n" for number in range(300))
    (tmp_path / "clips.csv").write_text("path,start,end\n" + spans)
    path = tmp_path / "p.yaml"
    path.write_text(
        f"corpus: {{kind: manifest, path: {tmp_path / 'clips.csv'}, root: {clips}, "
        "start_column: start, end_column: end}\n"
        "engine: {kind: rehearsal, max_new_tokens: 12, batch_size: 2, in_flight: 2}\n"
        f"output: {{path: {tmp_path / 'out'}, commit_every_s: 0.3, rows_per_shard: 100}}\n"
    )
    return path
