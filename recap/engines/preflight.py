"""What can be refused about a model before anything is downloaded, loaded or written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from importlib.util import find_spec

from recap.engines.front import prompt_texts
from recap.engines.settings import EngineSettings, ModelSettings, PromptSettings
from recap.limits import nvidia_cards
from recap.pllava.hub import misnamed, named_folder

CARD = re.compile(r"(?:cuda:)?(\d+)")
PUBLISHED_BYTES = {  # bf16 weights with their unmerged LoRA
    "ermu2001/pllava-7b": 14.3e9,
    "ermu2001/pllava-13b": 26.9e9,
    "ermu2001/pllava-34b": 69.9e9,
}
NO_VLLM = (
    "engine.kind vllm: vLLM is not installed here; install it in an environment of its own "
    "(pip install --editable '.[vllm]' in recap's checkout), or take engine.kind: transformers"
)
NO_FLOAT32 = (
    "engine.quantization fp8: vLLM quantizes models that compute in 16 bits, not in float32: set model.dtype: bfloat16"
)
ONE_CARD = (
    "engine.gpus_per_actor {:g}: without model.device_map a copy of the model takes one GPU, and the others would "
    "stand idle: set it to 1, spread the model with model.device_map, or take engine.kind: vllm"
)
VLLM_SHARE = 0.85  # of a card's memory, or of the actor's part of it; the rest is the vision tower's
WORKING_BYTES = 5e9  # activations and the cache of one clip


def problems(model: ModelSettings, prompt: PromptSettings, engine: EngineSettings, *, on_cluster: bool) -> list[str]:
    """Everything that would stop this model from running, in words for the user; empty when it can.

    With `on_cluster` the GPUs of this machine are not looked at.
    """
    found = [_prompt_problem(prompt)]
    if engine.kind != "rehearsal":
        found.append(_checkpoint_problem(model))
    if engine.kind == "vllm":
        found.append(_vllm_problem(model, engine, on_cluster))
    placed = model.device_map is not None or engine.kind == "rehearsal"
    if model.device_map and not engine.gpus_per_actor and set(model.device_map.values()) - {"cpu", "disk"}:
        found.append("model.device_map names a GPU, and engine.gpus_per_actor is 0: say how many each copy takes")
    if model.device_map and engine.gpus_per_actor:
        found.append(_cards_problem(model.device_map, engine))
    if engine.gpus_per_actor > 1 and engine.kind == "transformers" and not placed:
        found.append(ONE_CARD.format(engine.gpus_per_actor))
    elif engine.gpus_per_actor and not placed and not on_cluster:
        found.append(_gpu_problem(model, engine))
    return [problem for problem in found if problem]


def idle_cards(model: ModelSettings, engine: EngineSettings) -> str | None:
    """What to say where a machine's GPUs are none of the engine's, and its model is not small."""
    cards = nvidia_cards()
    is_small = engine.kind == "rehearsal" or model.checkpoint == "pocket"
    if not cards or is_small or engine.gpus_per_actor or model.device_map is not None:
        return None
    return (
        "engine.gpus_per_actor is 0, so that the model computes on the CPU, in float32 unless model.dtype says "
        f"otherwise; this machine has {cards} GPU(s): engine.gpus_per_actor=1 takes one for each copy"
    )


def _checkpoint_problem(model: ModelSettings) -> str | None:
    if said := misnamed(model.checkpoint):
        return f"model.checkpoint: {said}"
    folder = named_folder(model.checkpoint)
    if not folder.is_dir():
        return None
    from recap.pllava import weight_digest

    try:
        weight_digest(folder)
    except ValueError as error:
        return f"model.checkpoint: {error}"
    return None


def _vllm_problem(model: ModelSettings, engine: EngineSettings, on_cluster: bool) -> str | None:
    if engine.quantization and model.dtype == "float32":
        return NO_FLOAT32
    if model.device_map is not None:
        return "model.device_map: vLLM places the model itself; leave it out, or take engine.kind: transformers"
    return None if on_cluster else missing_vllm()


def missing_vllm() -> str | None:
    """What to install, where there is no vLLM."""
    return NO_VLLM if find_spec("vllm") is None else None


def _prompt_problem(prompt: PromptSettings) -> str | None:
    try:
        prompt_texts(prompt)
    except ValueError as error:
        return f"prompt: {error}"
    return None


def _gpu_problem(model: ModelSettings, engine: EngineSettings) -> str | None:
    import torch

    spread, share = (max(1, engine.gpus_per_actor), VLLM_SHARE) if engine.kind == "vllm" else (1, 1)
    needed = _weight_bytes(model) / (2 if engine.quantization else 1) / spread + WORKING_BYTES
    memory = [torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count())]
    room = max(memory, default=0) * share * min(engine.gpus_per_actor, 1)
    if needed <= room:
        return None
    has = f"the largest here gives it {room / 1e9:.0f} GB" if memory else "this machine has none"
    if memory and engine.kind == "vllm":
        has += f" (vLLM takes {VLLM_SHARE:.0%}); engine.quantization: fp8 halves it, more engine.gpus_per_actor part it"
    return (
        f"engine.gpus_per_actor {engine.gpus_per_actor:g}: {model.checkpoint} needs a GPU with about "
        f"{needed / 1e9:.0f} GB, and {has}; run on such a machine, or set ray.address to a cluster that has them"
    )


def _cards_problem(device_map: Mapping[str, str | int], engine: EngineSettings) -> str | None:
    granted = math.ceil(engine.gpus_per_actor)
    cards = (int(found[1]) for place in device_map.values() if (found := CARD.fullmatch(str(place))))
    beyond = [card for card in cards if card >= granted]
    if not beyond:
        return None
    return (
        f"model.device_map names GPU {max(beyond)}: a copy counts its GPUs from 0, and engine.gpus_per_actor "
        f"{engine.gpus_per_actor:g} gives it {granted}"
    )


def _weight_bytes(model: ModelSettings) -> float:
    return sum(_folder_bytes(name, model.dtype) for name in (model.checkpoint, model.base) if name)


def _folder_bytes(name: str, dtype: str) -> float:
    if name in PUBLISHED_BYTES:
        return PUBLISHED_BYTES[name] * (2 if dtype == "float32" else 1)
    if not named_folder(name).is_dir():
        return 0
    from recap.pllava import checkpoint_bytes

    try:
        return checkpoint_bytes(name, dtype)
    except ValueError:
        return 0
