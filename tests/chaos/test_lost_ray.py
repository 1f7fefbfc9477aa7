"""One of Ray's own processes dies: the run says what to do and ends, before Ray ends it without a word."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .processes import CHILD_GONE_S, MARKS, processes_of, wait_until_gone

pytestmark = [pytest.mark.long, pytest.mark.ray, pytest.mark.timeout(280)]

CLUSTER = """
import subprocess, sys, time
from pathlib import Path
from ray.cluster_utils import Cluster
flag, lost, *command = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
try:
    run = subprocess.Popen([*command, f"ray.address={cluster.address}"])
    while not Path(flag).exists() and run.poll() is None:
        time.sleep(0.1)
    {"head": cluster.head_node.kill_gcs_server, "raylet": cluster.head_node.kill_raylet}[lost]()
    status = run.wait()
finally:
    cluster.shutdown()
sys.exit(status)
"""
HINT = {
    "raylet": "Ray's process on this machine died",
    "head": "the head of the Ray cluster does not answer any more",
}
OUTCOME = "the run ends with a hint, the next one goes on"


@pytest.mark.parametrize("lost", HINT)
def test_a_lost_process_of_rays_ends_the_run_with_a_hint_and_the_next_one_goes_on(
    start, finish, pipeline, whole_of, tmp_path, wait_for_a_commit, deliverable, accounts, lost
):
    process = start("ray", pipeline)
    wait_for_a_commit(process, tmp_path / "out")
    for victim in processes_of(process.pid, MARKS[lost]):
        victim.kill()
    said = process.communicate(timeout=100)[1]
    assert process.returncode == 1, said
    assert f"{HINT[lost]}; what was committed is safe; recap run goes on with the rest" in said
    assert "Traceback" not in said
    wait_until_gone(process.pid, MARKS["decoder child"], CHILD_GONE_S)
    assert not (tmp_path / "out/lease.json").exists() and not (tmp_path / "out/manifest.json").exists()

    assert "done before" in finish("loop", pipeline)
    assert deliverable(tmp_path / "out") == whole_of(300)
    accounts.add(f"kill -9 of the {lost}", OUTCOME, tmp_path / "out")


@pytest.mark.parametrize("lost", HINT)
def test_so_does_one_that_is_lost_while_shards_are_cut(
    recap_on, finish, pipeline_of, whole_of, tmp_path, deliverable, accounts, faulty, lost
):
    pipeline, flag = pipeline_of(tmp_path, 40), tmp_path / "flag"
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER, f"{flag}-0", lost, *recap_on("ray", "run", pipeline)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | faulty | {"RECAP_FAULT": f"stalls@shards:{flag}:1", "RECAP_PATIENCE_S": "5"},
    )
    said = process.communicate(timeout=200)[1]
    assert process.returncode == 1 and f"{HINT[lost]}; what was committed is safe" in said, said
    assert "Traceback" not in said and not (tmp_path / "out/lease.json").exists()
    finish("loop", pipeline)
    assert deliverable(tmp_path / "out") == whole_of(40)
    accounts.add(f"kill -9 of the {lost} while shards are cut", OUTCOME, tmp_path / "out")
    for agent in processes_of(process.pid, "Agent"):  # of the cluster; they would stay for a minute
        agent.kill()
    wait_until_gone(process.pid, "", CHILD_GONE_S)
