"""An engine that runs out of memory, dies or hangs costs the clips that it had another try, and not the run."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from .processes import ALL_GONE_S, wait_until_gone

KILLED = "quarantined, the run goes on"
pytestmark = [pytest.mark.timeout(280)]


def on_ray(*values):
    return pytest.param("ray", *values, marks=[pytest.mark.ray, pytest.mark.long])


AGAIN, ROUND, RESTART = "opened again in its process", "the next round goes on", "restarted, the run goes on"


@pytest.mark.parametrize(
    ("runner", "fault", "times", "said", "outcome"),
    [
        pytest.param(
            "loop", "out_of_memory", 1, "the engine died and is opened again", AGAIN, marks=[pytest.mark.long]
        ),
        ("loop", "out_of_memory", 2, "the engine died and is opened again", AGAIN),
        ("loop", "out_of_memory", 4, "a worker was lost: CUDA out of memory", ROUND),
        ("loop", "stalls", 1, "a worker was lost: the engine has not moved for 2 s", ROUND),
        on_ray("out_of_memory", 4, "a worker was lost: CUDA out of memory", ROUND),
        on_ray("stalls", 1, "", RESTART),
        on_ray("dies", 2, "", RESTART),
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


@pytest.fixture
def one_of(finish, pipeline_of, tmp_path):
    """A function from a place in the order of forty clips to the pipeline over them and the clip that is there."""

    def one_of(place: int):
        pipeline = pipeline_of(tmp_path, 40)
        finish("loop", pipeline, f"output.path={tmp_path / 'sound'}")
        (shard,) = (tmp_path / "sound/shards").rglob("data-*.parquet")
        return pipeline, pq.read_table(shard)["clip_id"][place].as_py()

    return one_of


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.parametrize(
    ("fault", "place", "what"),
    [
        ("crasher", 39, "crashes with one clip"),
        ("poisoner", 0, "breaks for good with the first clip"),
        ("blinder", 0, "does not look any more with the first clip"),
        ("poisoner", 39, "breaks for good with the last clip"),
        ("staller", 20, "hangs with one clip"),
    ],
)
def test_a_clip_that_ends_its_process_is_found_among_others(
    start, one_of, tmp_path, faulty, accounts, fault, place, what
):
    (pipeline, culprit), out = one_of(place), tmp_path / "out"
    process = start("ray", pipeline, "engine.stall_s=2", **faulty, RECAP_FAULT=f"{fault}:{culprit}")
    heard = process.communicate(timeout=200)[1]
    assert process.returncode == 0 and "Traceback" not in heard, heard
    assert place == 0 or "a worker was lost" not in heard, heard  # whose engine has shown nothing ends the round
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["reconciliation"]["captioned"] == 39 and manifest["reasons"] == {"caption/engine_died": 1}
    (path,) = (out / "shards").rglob("quarantine/*.parquet")
    assert pq.read_table(path)["clip_id"].to_pylist() == [culprit]
    accounts.add(f"engine: {what} (ray)", KILLED, out)
    wait_until_gone(process.pid, "", ALL_GONE_S)


@pytest.mark.long
@pytest.mark.ray
def test_a_clip_that_gets_its_process_killed_is_left_over_and_no_other(
    start, finish, one_of, whole_of, deliverable, tmp_path, faulty
):
    (pipeline, killer), out = one_of(20), tmp_path / "out"
    process = start("ray", pipeline, **faulty, RECAP_FAULT=f"killer:{killer}")
    heard = process.communicate(timeout=250)[1]
    assert process.returncode == 1 and "ended with 1 clips remaining" in heard and "Traceback" not in heard, heard
    books = json.loads((out / "manifest.json").read_text())["reconciliation"]
    assert (books["captioned"], books["quarantined"], books["remaining"]) == (39, 0, 1)
    wait_until_gone(process.pid, "", ALL_GONE_S)
    finish("loop", pipeline)
    assert deliverable(out) == whole_of(40)


@pytest.mark.long
@pytest.mark.ray
def test_a_translator_that_hangs_is_replaced(start, pipeline_of, tmp_path, faulty, accounts, deliverable):
    spoken = ("translation.languages=[zh]", "translation.engine=rehearsal", "translation.stall_s=2")
    pipeline, sound = pipeline_of(tmp_path, 40), f"output.path={tmp_path / 'sound'}"
    assert start("loop", pipeline, *spoken, sound).wait(timeout=200) == 0
    process = start("ray", pipeline, *spoken, **faulty, RECAP_FAULT=f"stalls@translator:{tmp_path / 'flag'}:2")
    heard = process.communicate(timeout=200)[1]
    assert process.returncode == 0 and "a translator was replaced: a translator has not moved for 2 s" in heard, heard
    assert len(list(tmp_path.glob("flag-*"))) == 2, "the fault did not come"
    assert deliverable(tmp_path / "out") == deliverable(tmp_path / "sound")
    accounts.add("translator: hangs, 2 × (ray)", RESTART, tmp_path / "out", 2)
    wait_until_gone(process.pid, "", ALL_GONE_S)
