"""An engine that runs out of memory, dies or hangs costs the clips that it had another try, and not the run."""

from __future__ import annotations

import pytest

from .processes import ALL_GONE_S, wait_until_gone

pytestmark = [pytest.mark.timeout(280)]


def on_ray(*values, marks=()):
    return pytest.param("ray", *values, marks=[pytest.mark.ray, *marks])


AGAIN, ROUND, RESTART = "opened again in its process", "the next round goes on", "restarted, the run goes on"


@pytest.mark.parametrize(
    ("runner", "fault", "times", "said", "outcome"),
    [
        ("loop", "out_of_memory", 1, "the engine died and is opened again", AGAIN),
        ("loop", "out_of_memory", 2, "the engine died and is opened again", AGAIN),
        ("loop", "out_of_memory", 4, "a worker was lost: CUDA out of memory", ROUND),
        ("loop", "stalls", 1, "a worker was lost: the engine has not moved for 2 s", ROUND),
        on_ray("out_of_memory", 4, "a worker was lost: CUDA out of memory", ROUND, marks=[pytest.mark.long]),
        on_ray("stalls", 1, "a worker was lost: the engine has not moved for 2 s", ROUND),
        on_ray("dies", 2, "", RESTART, marks=[pytest.mark.long]),
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
    wait_until_gone(process.pid, "", ALL_GONE_S)
