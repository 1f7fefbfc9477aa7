"""An engine that runs out of memory, dies or hangs costs the clips that it had another try, and not the run."""

from __future__ import annotations

import pytest

from .processes import wait_until_gone

pytestmark = [pytest.mark.timeout(280)]
ON_RAY = pytest.mark.ray


def on(runner: str, fault: str, times: int, said: str, outcome: str):
    return pytest.param(runner, fault, times, said, outcome, marks=[ON_RAY] if runner == "ray" else [])


AGAIN, ROUND, RESTART = "opened again in its process", "the next round goes on", "restarted, the run goes on"


@pytest.mark.parametrize(
    ("runner", "fault", "times", "said", "outcome"),
    [
        on("loop", "out_of_memory", 1, "the engine died and is opened again", AGAIN),
        on("loop", "out_of_memory", 2, "a worker was lost: CUDA out of memory", ROUND),
        on("loop", "stalls", 1, "a worker was lost: the engine has not moved for 2 s", ROUND),
        on("ray", "out_of_memory", 2, "a worker was lost: CUDA out of memory", ROUND),
        on("ray", "stalls", 1, "a worker was lost: the engine has not moved for 2 s", ROUND),
        on("ray", "dies", 2, "", RESTART),
    ],
)
def test_a_fault_of_the_engine_costs_no_clip(
    start, pipeline_of, whole_of, tmp_path, faulty, runner, fault, times, said, outcome, deliverable, accounts
):
    pipeline = pipeline_of(tmp_path, 40)
    process = start(runner, pipeline, "engine.stall_s=2", **faulty, RECAP_FAULT=f"{fault}:{tmp_path / 'flag'}:{times}")
    heard = process.communicate(timeout=200)[1]
    assert process.returncode == 0 and said in heard and "Traceback" not in heard, heard
    assert len(list(tmp_path.glob("flag-*"))) == times, "the fault did not come"
    assert deliverable(tmp_path / "out") == whole_of(40)
    accounts.add(f"engine: {fault.replace('_', ' ')}, {times} × ({runner})", outcome, tmp_path / "out", times)
    wait_until_gone(process.pid, "", 120)
