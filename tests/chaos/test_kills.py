"""`kill -9` of every process of a run at random moments, then the same command again: the same bytes."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from .processes import MARKS, processes_of

SUSPICION_S = 3.0  # a clip whose child is killed twice is quarantined: the next kill is for another clip


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kills", [3, pytest.param(60, marks=pytest.mark.long)])
def test_the_driver_dies_at_any_moment_from_plan_to_manifest(
    start, finish, pipeline_of, tmp_path, kills, runs, deliverable, accounts
):
    """The moments are drawn from all at which the driver touches its output: plan, commits, compaction, shards."""
    pipeline, wild = pipeline_of(tmp_path, 40), random.Random(kills)
    overrides = ("output.rows_per_shard=16", "output.commit_every_s=0.05")
    said = finish("loop", pipeline, *overrides, RECAP_OUTPUT=str(tmp_path / "out"))
    whole, moments = deliverable(tmp_path / "out"), int(re.search(r"moments: (\d+)", said)[1])
    done = 0
    while done < kills:
        output, here = tmp_path / f"out-{done}", 0
        again = (pipeline, *overrides, f"output.path={output}")
        for _ in range(wild.randint(1, 5)):
            moment = wild.randrange(1, moments)
            process = start("loop", *again, RECAP_OUTPUT=str(output), RECAP_DIES_AT=str(moment))
            runs.ended(process)
            if done + here == kills or process.returncode == 0:  # it had less to do than that
                break
            assert process.returncode == -signal.SIGKILL
            here += 1
        finish("loop", *again, RECAP_OUTPUT=str(output))
        assert deliverable(output) == whole
        accounts.add("kill -9 of the driver (loop)", "the next run goes on", output, here)
        done += here


FEW = {"decoder child": 1, "caption actor": 1, "decode actor": 1, "driver": 1}  # a raylet: test_lost_ray.py
MANY = {"decoder child": 14, "caption actor": 10, "decode actor": 10, "driver": 4, "raylet": 4}
OUTCOMES = {"driver": "the next run goes on", "raylet": "the run ends with a hint, the next one goes on"}


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("plan", [FEW, MANY], ids=["few", "many"])
def test_any_process_of_a_run_on_ray_dies(start, pipeline_of, whole_of, tmp_path, plan, runs, deliverable, accounts):
    pipeline, wild = pipeline_of(tmp_path, 300), random.Random(len(plan))
    whole = whole_of(300)
    victims = [kind for kind, times in plan.items() for _ in range(times)]
    wild.shuffle(victims)
    number = 0
    while victims:
        output, number, done = tmp_path / f"out-{number}", number + 1, Counter()
        again = (pipeline, "ray.rounds=20", f"output.path={output}")
        while True:
            process = start("ray", *again)
            done += kill_at_random(process, output, victims, wild)
            runs.ended(process)
            assert process.returncode in (0, 1, -signal.SIGKILL)
            if process.returncode == 0:
                break
        assert deliverable(output) == whole
        for kind, times in done.items():
            accounts.add(f"kill -9 of the {kind}", OUTCOMES.get(kind, "restarted, the run goes on"), output, times)


def kill_at_random(process: subprocess.Popen, output: Path, victims: list[str], wild: random.Random) -> Counter[str]:
    """Kill from the end of `victims`, which is taken off, until the run is over; what was killed."""
    done: Counter[str] = Counter()
    before = set(output.glob("fragments/*/*.parquet"))
    while process.poll() is None and not set(output.glob("fragments/*/*.parquet")) - before:
        time.sleep(0.05)
    while victims and process.poll() is None:
        time.sleep(wild.uniform(0.2, 1.2))
        if kill(process, victims[-1]):
            done[victims.pop()] += 1
            if victims and done["driver"] + done["raylet"]:
                break
    return done


def kill(process: subprocess.Popen, kind: str) -> bool:
    """Whether there was one to kill."""
    if kind == "driver":
        found = [psutil.Process(process.pid)] if process.poll() is None else []
    else:
        found = processes_of(process.pid, MARKS[kind])
    try:
        if kind == "decoder child":
            found = [child for child in found if time.time() - child.create_time() > SUSPICION_S]
        for victim in found[:1]:
            victim.kill()
    except psutil.NoSuchProcess:
        return False
    return bool(found)
