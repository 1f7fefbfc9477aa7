"""What was trained, in the layout in which PLLaVAs are published."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from safetensors import safe_open
from torch import Tensor

from recap import __version__
from recap.pllava.config import read_config, read_json
from recap.pllava.digest import weight_digest
from recap.pllava.export import copy_files
from recap.pllava.keymap import is_unused, place, published_key
from recap.pllava.safetensors_files import tensors
from recap.training.settings import LoraSettings


def save_full(
    state: Mapping[str, Tensor], folder: Path, base: Sequence[Path], dtype: torch.dtype, changes: Mapping[str, Any]
) -> None:
    """The whole model, its LoRA unmerged: `state` by our names, and what `base` holds beside it.

    `changes` are entries of config.json that differ from the base's.
    """
    weights = {published_key(name): tensor for name, tensor in state.items()} | _dead_weights(base)
    _write(weights, folder, base, dtype, changes)


def save_adapter(
    state: Mapping[str, Tensor],
    trained: Collection[str],
    folder: Path,
    base: Sequence[Path],
    dtype: torch.dtype,
    changes: Mapping[str, Any],
) -> None:
    """Only the tensors named in `trained`; to be loaded with the base beneath them."""
    _write({published_key(name): state[name] for name in trained}, folder, base, dtype, changes)


def rescaled(state: Mapping[str, Tensor], trained: float, stored: float | None) -> Mapping[str, Tensor]:
    """The same model for a LoRA that is mixed in at `stored` instead of at the alpha it was trained with."""
    factor = trained / (stored or trained)
    return {name: weight * factor if ".lora_B." in name else weight for name, weight in state.items()}


def provenance(base: Sequence[Path], lora: LoraSettings | None) -> dict[str, Any]:
    """Where a trained checkpoint comes from, for its config.json."""
    trained = {"lora_rank": lora.rank, "lora_alpha": lora.alpha} if lora else {}
    return {"base_digest": weight_digest(base[0]), "recap_version": __version__} | trained


def _write(
    weights: Mapping[str, Tensor], folder: Path, base: Sequence[Path], dtype: torch.dtype, changes: Mapping[str, Any]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stored = {key: tensor.detach().to("cpu", dtype).contiguous() for key, tensor in weights.items()}
    save_torch_state_dict(stored, folder)
    config = read_json(base[0] / "config.json")
    config.pop("dtype", None)
    config |= {"torch_dtype": str(dtype).removeprefix("torch.")} | dict(changes)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    copy_files(base, folder)


def _dead_weights(base: Sequence[Path]) -> dict[str, Tensor]:
    """What the published layout has and no forward pass uses, such as the tower's last block."""
    blocks = read_config(base[0]).vision_blocks
    found = {}
    for folder in reversed(base):
        for stored in tensors(folder):
            if is_unused(place(stored.key).parameter, blocks):
                with safe_open(stored.path, framework="pt") as file:
                    found[stored.key] = file.get_tensor(stored.key)
    return found
