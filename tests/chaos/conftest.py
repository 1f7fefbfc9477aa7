from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from .accounts import Accounts
from .processes import ALL_GONE_S, CHILD, CHILD_GONE_S, shared_memory, wait_until_gone

HERE = Path(__file__).parent
ACCOUNTS = pytest.StashKey[Accounts]()
STARTED = time.monotonic()


@pytest.fixture(scope="session")
def accounts(request, wait_for):
    """What faults cost, over the whole session; also that nothing stays in shared memory."""
    before = shared_memory()
    rows = request.config.stash[ACCOUNTS] = Accounts()
    yield rows
    wait_for(lambda: shared_memory() <= before)  # tests beside these come and go


def pytest_terminal_summary(terminalreporter, config):
    """Print the accounts, and write them to out/chaos."""
    if rows := config.stash.get(ACCOUNTS, None):
        terminalreporter.write_sep("=", "chaos")
        terminalreporter.write_line(rows.write(config.rootpath / "out/chaos", time.monotonic() - STARTED))


class Runs:
    """The sessions of killed runs; each must be gone in time."""

    def __init__(self):
        self.deadlines: dict[int, float] = {}

    def ended(self, process: subprocess.Popen) -> None:
        """Look for decoders now, and for anything else later."""
        process.communicate(timeout=60)
        wait_until_gone(process.pid, CHILD, CHILD_GONE_S)
        self.deadlines[process.pid] = time.monotonic() + ALL_GONE_S

    def all_gone(self) -> None:
        for session, deadline in self.deadlines.items():
            wait_until_gone(session, "", deadline - time.monotonic())


@pytest.fixture(scope="session")
def runs():
    runs = Runs()
    yield runs
    runs.all_gone()


@pytest.fixture(scope="session")
def recap_on():
    """A function from a runner (ray, or the much faster loop) and arguments to the command line of `recap`."""
    return lambda runner, *arguments: [sys.executable, "-P", str(HERE / "command.py"), runner, *map(str, arguments)]


@pytest.fixture(scope="session")
def faulty():
    """The environment in which every process of a run meets the faults of tests/chaos/faulty."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(HERE / "faulty"), os.environ.get("PYTHONPATH"))))}


@pytest.fixture(scope="session")
def start(recap_on):
    """A function that starts `recap run` in a session of its own; what it says can be read from its `stderr`."""

    def start(runner: str, *arguments, **environment: str) -> subprocess.Popen:
        options = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True, "start_new_session": True}
        return subprocess.Popen(recap_on(runner, "run", *arguments), env=os.environ | environment, **options)

    return start


@pytest.fixture(scope="session")
def finish(start):
    """A function that runs `recap run` to its end, again while clips remain; what it said, all together."""

    def finish(runner: str, *arguments, **environment: str) -> str:
        said = ""
        for _ in range(5):
            process = start(runner, *arguments, **environment)
            said += process.communicate(timeout=200)[1]
            if process.returncode != 1:
                break
        assert process.returncode == 0, said
        return said

    return finish


@pytest.fixture(scope="session")
def pipeline_of(home):
    """A function that writes a pipeline over `spans` of one clip, committed in small pieces to `folder / "out"`."""

    def write(folder: Path, spans: int) -> Path:
        lines = "".join(f"red-circle-right.mp4,{number / 1000},1.5\n" for number in range(spans))
        (folder / "clips.csv").write_text("path,start,end\n" + lines)
        path = folder / "p.yaml"
        path.write_text(
            f"corpus: {{kind: manifest, path: {folder / 'clips.csv'}, root: {home / 'pipelines/demo/clips/shapes'}, "
            "start_column: start, end_column: end}\n"
            "engine: {kind: rehearsal, max_new_tokens: 12, batch_size: 2, in_flight: 24}\n"
            f"output: {{path: {folder / 'out'}, commit_every_s: 0.3, rows_per_shard: 100}}\n"
        )
        return path

    return write


@pytest.fixture(scope="session")
def whole_of(finish, pipeline_of, tmp_path_factory, deliverable):
    """A function from a number of spans to what a run of `pipeline_of` that nobody disturbs delivers."""

    @cache
    def whole(spans: int) -> dict[str, bytes]:
        folder = tmp_path_factory.mktemp("whole")
        finish("loop", pipeline_of(folder, spans))
        return deliverable(folder / "out")

    return whole


@pytest.fixture
def pipeline(pipeline_of, tmp_path):
    """Some seconds of work."""
    return pipeline_of(tmp_path, 300)


@pytest.fixture(scope="session")
def wait_for_a_commit():
    """A function that waits until a run has committed more than `before` fragments."""

    def wait(process: subprocess.Popen, output: Path, before: int = 0) -> None:
        while len(list(output.glob("fragments/*/*.parquet"))) <= before:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)

    return wait
