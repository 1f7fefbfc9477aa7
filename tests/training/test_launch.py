from __future__ import annotations

import pytest
import ray
import ray.train.torch
from ray.train import WorkerGroupError

from recap.training.launch import launch
from tests.training.conftest import LORA


@pytest.fixture
def on_cluster(monkeypatch, recipe, tmp_path):
    """Launch on a pretended cluster of two nodes: `on_cluster(overrides, failures)`."""

    def run(overrides: tuple[str, ...], failures: dict[int, Exception]) -> None:
        class Failing:
            def __init__(self, *_, **__): ...

            def fit(self):
                raise WorkerGroupError("two workers failed", failures)

        monkeypatch.setattr(ray.train.torch, "TorchTrainer", Failing)
        (tmp_path / "train.json").write_text("[]")
        launch(recipe(LORA, ("ray.workers=2", *overrides), BASE=tmp_path, DATA=tmp_path, OUT=tmp_path))

    nodes = [{"Alive": True, "Resources": {"CPU": 3.0, "GPU": 1.0}}, {"Alive": True, "Resources": {"CPU": 2.0}}]
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", lambda: [*nodes, {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}])
    return run


def test_a_mistake_that_a_worker_finds_is_the_users(on_cluster):
    with pytest.raises(ValueError, match="mend me"):
        on_cluster((), {0: ConnectionError("lost"), 1: ValueError("mend me")})
    with pytest.raises(WorkerGroupError):
        on_cluster((), {0: ConnectionError("lost")})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("ray.workers=6", "ray.workers is 6, but the cluster has room for 5 processes of 1 CPU each"),
        ("ray.cpus_per_worker=3", "room for 1 processes of 3 CPU each"),
        ("ray.gpus_per_worker=1", "room for 1 processes of 1 CPU and 1 GPU each"),
    ],
)
def test_workers_that_no_node_can_hold_are_refused(on_cluster, override, message):
    with pytest.raises(ValueError, match=message):
        on_cluster((override,), {})
