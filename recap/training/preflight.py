"""What can be refused about a training before anything is downloaded, loaded or written."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recap.pllava.hub import misnamed
from recap.training.annotations import annotation_files
from recap.training.recipe import Recipe
from recap.training.states import deepspeed_file

NO_DEEPSPEED = (
    "train.deepspeed {}: DeepSpeed is not installed here; install it "
    "(pip install --editable '.[deepspeed]' in recap's checkout), or leave train.deepspeed out"
)
NO_GPU = "train.deepspeed {}: it computes on GPUs what it keeps off them, and {}, or take one that does not offload"


def check(recipe: Recipe) -> None:
    """Raise ValueError with everything that would stop this training, as far as it can be seen from here."""
    found = [_refusal(partial(annotation_files, Path(each.path).expanduser())) for each in recipe.data.sets]
    for name in ("checkpoint", "base"):
        if (checkpoint := getattr(recipe.model, name)) and (said := misnamed(checkpoint)):
            found.append(f"model.{name}: {said}")
    problems = [problem for problem in [*found, *_deepspeed_problems(recipe)] if problem]
    if problems:
        raise ValueError("this training cannot start:\n  " + "\n  ".join(problems))


def _refusal(look: Callable[[], object]) -> str | None:
    try:
        look()
    except ValueError as error:
        return str(error)
    return None


def _deepspeed_problems(recipe: Recipe) -> list[str | None]:
    name = recipe.train.deepspeed
    if name is None:
        return []
    if unreadable := _refusal(partial(_zero, name)):
        return [unreadable]
    is_elsewhere = recipe.ray.workers and recipe.ray.address  # on nodes that may have what this machine lacks
    lacking = find_spec("deepspeed") is None and not is_elsewhere
    return [NO_DEEPSPEED.format(name) if lacking else None, _gpu_problem(recipe, name)]


def _gpu_problem(recipe: Recipe, name: str) -> str | None:
    zero = _zero(name)
    offloads = (zero.get(part, {}).get("device", "none") for part in ("offload_optimizer", "offload_param"))
    if all(device == "none" for device in offloads):
        return None
    if recipe.ray.workers:
        no_gpus = "ray.gpus_per_worker is 0: set it to 1"
        return None if recipe.ray.gpus_per_worker else NO_GPU.format(name, no_gpus)
    import torch

    return None if torch.cuda.is_available() else NO_GPU.format(name, "this machine has none: train on one that has")


def _zero(name: str) -> dict[str, Any]:
    file = Path(str(deepspeed_file(name)))
    try:
        return json.loads(file.read_text(encoding="utf-8")).get("zero_optimization", {})
    except (ValueError, AttributeError) as error:
        raise ValueError(f"train.deepspeed: {file} cannot be read as JSON: {error}") from None
