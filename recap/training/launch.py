"""Where a training runs: in this process, or in the workers of a Ray cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recap.imports import job_config
from recap.training.preflight import check
from recap.training.recipe import Recipe
from recap.training.run import SUMMARY, Trained, train


def launch(recipe: Recipe) -> Trained:
    """`train` here, or, with `ray.workers`, in that many processes of Ray Train; the same settings do for both."""
    return _on_ray(recipe) if recipe.ray.workers else train(recipe)


def _on_ray(recipe: Recipe) -> Trained:
    import ray
    from ray.train import RunConfig, ScalingConfig, WorkerGroupError
    from ray.train.torch import TorchTrainer

    from recap.training.recipe import absolute

    check(recipe)
    ours = not ray.is_initialized()
    if ours:
        told = {"log_to_driver": False, "include_dashboard": False, "job_config": job_config()}
        ray.init(address=recipe.ray.address or "local", **told)
    gpus = recipe.ray.gpus_per_worker
    resources = {"CPU": recipe.ray.cpus_per_worker} | ({"GPU": gpus} if gpus else {})
    recipe = absolute(recipe)
    try:
        _check_room(recipe.ray.workers, resources, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        trainer = TorchTrainer(
            _worker,
            train_loop_config={"recipe": recipe},
            scaling_config=ScalingConfig(
                num_workers=recipe.ray.workers, use_gpu=bool(gpus), resources_per_worker=resources
            ),
            run_config=RunConfig(name="ray", storage_path=recipe.output.path),
        )
        trainer.fit()
    except WorkerGroupError as error:
        mistakes = [each for each in error.worker_failures.values() if isinstance(each, ValueError)]
        raise (mistakes[0] if mistakes else error) from None
    finally:
        if ours:
            ray.shutdown()
    return Trained(**json.loads((Path(recipe.output.path) / SUMMARY).read_text(encoding="utf-8")))


def _check_room(workers: int, resources: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> None:
    """ValueError where `nodes` can never hold the workers together, for which Ray would wait without an end."""
    wanted = {kind: amount for kind, amount in resources.items() if amount}
    room = sum(min(int(node.get(kind, 0) / amount + 1e-6) for kind, amount in wanted.items()) for node in nodes)
    if room < workers:
        each = " and ".join(f"{amount:g} {kind}" for kind, amount in wanted.items())
        raise ValueError(
            f"ray.workers is {workers}, but the cluster has room for {room} processes of {each} each; "
            "lower ray.workers, ray.cpus_per_worker or ray.gpus_per_worker"
        )


def _worker(config: dict[str, Any]) -> None:
    train(config["recipe"])
