"""Two Ray nodes on one machine: the same shards as on one, and storage that is checked first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import recap
from recap import jobs
from recap.graph.nodes import Landmarks, look
from recap.graph.sizing import Machine
from recap.pipeline import load_pipeline
from recap.translation import TranslationSettings
from recap.work import _graphs

# Ray takes a node's word for its GPUs, and a rehearsal does not miss them.
CLUSTER = """
import os, subprocess, sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=2, num_gpus=1)
cluster.wait_for_nodes()
try:
    run = [*sys.argv[1:], f"ray.address={cluster.address}"]
    stranger = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    stranger["RAY_gcs_server_port_wait_time_s"] = "1"  # else Ray knocks twenty times
    refused = subprocess.run(run, env=stranger, capture_output=True, text=True)
    assert refused.returncode == 2 and "RAY_AUTH_TOKEN" in refused.stderr, refused.stderr
    done = subprocess.run(run)
finally:
    cluster.shutdown()
sys.exit(done.returncode)
"""
TOKENS = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef0123456789abcdef"}


@pytest.fixture
def landmarks(tmp_path):
    (tmp_path / "token").touch()
    (tmp_path / "clip.mp4").write_bytes(b"12345")
    (tmp_path / "config.json").touch()
    return Landmarks(str(tmp_path / "token"), str(tmp_path / "clip.mp4"), 5, (str(tmp_path),), recap.__version__)


def test_a_node_without_vllm_is_named_where_it_is_needed(landmarks, monkeypatch):
    monkeypatch.setattr("recap.engines.preflight.find_spec", lambda name: None)
    (problem,) = look(replace(landmarks, needs_vllm=True), "n1")
    assert "node n1" in problem and "'.[vllm]'" in problem
    assert look(landmarks, "n1") == []


def test_a_node_that_sees_everything_has_nothing_to_say(landmarks):
    assert look(landmarks, "n1") == []


def test_a_translators_folder_is_among_what_nodes_look_for(monkeypatch):
    looked = []
    monkeypatch.setattr(
        "recap.graph.nodes.check_nodes", lambda output, clip, checkpoints, **needs: looked.extend(checkpoints)
    )
    monkeypatch.setattr("recap.graph.session.ray_session", lambda address: nullcontext())
    engines = {"engine": SimpleNamespace(kind="transformers"), "decode": SimpleNamespace(hardware="none")}
    model, ray = SimpleNamespace(checkpoint="/pllava", base=None), SimpleNamespace(address="auto")
    spoken = [SimpleNamespace(settings=TranslationSettings(("zh", "de"), checkpoint="/opus"))] * 2
    plan = SimpleNamespace(ray=ray, model=model, translations=spoken, fragments=Path("/out/fragments/k"), **engines)
    with _graphs("ray", plan, SimpleNamespace(location="/a.mp4")):
        assert looked == ["/pllava", "/opus"]


def test_a_cluster_that_the_process_was_in_before_is_looked_at_too(monkeypatch):
    looked = []
    monkeypatch.setattr("recap.graph.nodes.check_nodes", lambda *_, **__: looked.append(1))
    monkeypatch.setattr("recap.graph.session.ray_session", lambda address: nullcontext())
    model, no = SimpleNamespace(checkpoint="", base=None), SimpleNamespace(kind="", hardware="")
    plan = SimpleNamespace(
        ray=SimpleNamespace(address=None), model=model, engine=no, decode=no, translations=(), fragments=Path("a/b/c")
    )
    for number, machine in enumerate((Machine(4, 0, node_gpus=(0,)), Machine(8, 0, node_gpus=(0, 0)))):
        monkeypatch.setattr("recap.graph.joined.joined_machine", lambda machine=machine: machine)
        with _graphs("ray", plan, SimpleNamespace(location="clip")):
            assert len(looked) == number


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token": "/nowhere/token"}, "output.path"),
        ({"clip": "/nowhere/clip.mp4"}, "corpus"),
        ({"clip_bytes": 6}, "corpus"),
        ({"checkpoints": ("/nowhere",)}, "checkpoint"),
        ({"version": "0.0.1"}, "the driver has 0.0.1"),
    ],
)
def test_a_node_that_misses_something_says_what(landmarks, change, message):
    (problem,) = look(replace(landmarks, **change), "n1")
    assert "n1" in problem and message in problem


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.timeout(240)
def test_two_nodes_with_gpus_and_tokens_deliver_the_shards_of_one(tmp_path, home):
    recap_command = Path(sys.executable).with_name("recap")
    clips = home / "pipelines/demo/clips/shapes"
    pipeline = tmp_path / "p.yaml"
    pipeline.write_text(
        f"corpus: {{path: {clips}}}\nengine: {{kind: rehearsal, max_new_tokens: 9, actors: 2}}\n"
        "output: {path: unset, rows_per_shard: 5}\ndecode: {workers: 2}\n"
        "translation: {languages: [zh], engine: rehearsal}\n"
    )
    run = [str(recap_command), "run", str(pipeline)]
    on_gpus = [f"output.path={tmp_path / 'two'}", "engine.gpus_per_actor=1", "translation.gpus_per_actor=0.5"]
    two = subprocess.run(
        [sys.executable, "-c", CLUSTER, *run, *on_gpus], env=os.environ | TOKENS, capture_output=True, text=True
    )
    assert two.returncode == 0, two.stderr
    assert json.loads((tmp_path / "two/report/report.json").read_text())["speed"]["clips_per_gpu_hour_held"] > 0
    overrides = [f"output.path={tmp_path / 'one'}", "engine.actors=1", "decode.workers=1"]
    jobs.run(load_pipeline(pipeline, overrides), runner="loop")
    one, two = (shards(tmp_path / name) for name in ("one", "two"))
    assert one == two and len(one) > 5
    written = len([name for name in one if name.endswith((".parquet", ".tar"))])
    assert f"{written} calls were answered by nodes" in (tmp_path / "two/run.log").read_text()
    assert not list((tmp_path / "two").glob(".token*"))


def shards(output: Path) -> dict[str, bytes]:
    return {p.relative_to(output).as_posix(): p.read_bytes() for p in output.glob("shards/**/*") if p.is_file()}
