"""A node of the cluster goes, in order or at once: the other one captions the rest."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .processes import ALL_GONE_S, wait_until_gone

pytestmark = [pytest.mark.long, pytest.mark.ray, pytest.mark.timeout(280)]
# Both claim a GPU, which a rehearsal does not miss: then no copy of the model fits in the place of another.
CLUSTER = """
import subprocess, sys, time
from pathlib import Path
from ray.cluster_utils import Cluster
fragments, graceful, *command = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 1, "include_dashboard": False})
node = cluster.add_node(num_cpus=2, num_gpus=1)
cluster.wait_for_nodes()
try:
    run = subprocess.Popen([*command, f"ray.address={cluster.address}"])
    while not list(Path(fragments).glob("*/*.parquet")) and run.poll() is None:
        time.sleep(0.1)
    cluster.remove_node(node, allow_graceful=graceful == "in order")
    status = run.wait()
finally:
    cluster.shutdown()
sys.exit(status)
"""


@pytest.mark.parametrize("how", ["in order", "at once"])
def test_the_nodes_that_are_left_caption_the_rest(
    recap_on, pipeline_of, whole_of, tmp_path, deliverable, accounts, how
):
    pipeline = pipeline_of(tmp_path, 300)
    settings = ("engine.actors=2", "engine.gpus_per_actor=1", "decode.workers=2")
    command = [*recap_on("ray", "run", pipeline, *settings)]
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER, str(tmp_path / "out/fragments"), how, *command],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ,
    )
    said = process.communicate(timeout=250)[1]
    assert process.returncode == 0 and "Traceback" not in said, said
    assert deliverable(tmp_path / "out") == whole_of(300)
    accounts.add(f"a node goes, {how}", "the nodes that are left do the rest", tmp_path / "out")
    wait_until_gone(process.pid, "", ALL_GONE_S)
