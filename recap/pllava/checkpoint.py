"""From a checkpoint folder to a `Pllava` that computes, strictly: each tensor has its place or loading fails.

The headers of all files are matched with the model's parameters first. Then the weights go one by one from
the file to where they belong.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from recap.pllava.config import PllavaConfig
from recap.pllava.dtypes import compute_dtype
from recap.pllava.inventory import Inventory, check_complete, read_inventory
from recap.pllava.merging import check_alpha, gather, weight_blocks
from recap.pllava.model import Pllava
from recap.pllava.placement import DISK, OffDisk, Placement, dispatch
from recap.pllava.reading import reading
from recap.pllava.tokenizer import load_tokenizer


def open_checkpoint(checkpoint: str | Path, base: str | Path | None) -> tuple[Pllava, Inventory]:
    """The model on the meta device, and the files that hold exactly its weights. ValueError as for `load_pllava`."""
    inventory = read_inventory(checkpoint, base)
    return model_of(inventory), inventory


def model_of(inventory: Inventory) -> Pllava:
    """The model on the meta device. ValueError where none can be made, or `inventory` holds other weights than its."""
    with reading(inventory.folders[0] / "config.json"), torch.device("meta"):
        model = Pllava(inventory.config)
    check_complete(inventory, {name: tuple(weight.shape) for name, weight in model.named_parameters()})
    return model


def load_pllava(
    checkpoint: str | Path,
    *,
    base: str | Path | None = None,
    lora_alpha: float = 4,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "cpu",
    device_map: Mapping[str, str | int] | None = None,
) -> Pllava:
    """Load the PLLaVA in the folder `checkpoint`, ready to compute, without gradients.

    `base` is a LLaVA folder for checkpoints that hold only LoRA and projector. Each LoRA is merged as
    W + (lora_alpha / rank)·B·A in float32; its rank is read off the tensors, and 0 leaves it out. `dtype`
    "auto" is what config.json says, else what the files hold. ValueError, with what to do, for a folder that
    is missing, incomplete, damaged or not a PLLaVA, and for tensors that are missing, left over or of the
    wrong shape.

    `device_map` takes the place of `device` for a model that one card cannot hold. It names modules of
    `Pllava` and where each lives: a card (number or "cuda:1"), "cpu" or "disk"; the longest name that fits a
    parameter counts, "" fits all. Beside a card, "cpu" weights visit it to compute; "disk" ones are read at
    every use, from the checkpoint itself or, where a LoRA is merged, from a copy in the temporary folder.
    """
    check_alpha(lora_alpha)
    model, inventory = open_checkpoint(checkpoint, base)
    return _load(model, inventory, lora_alpha, dtype, {"": str(device)} if device_map is None else device_map)


def load_language_model(
    checkpoint: str | Path,
    *,
    base: str | Path | None = None,
    lora_alpha: float = 4,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "cpu",
) -> tuple[PreTrainedModel, Any, PllavaConfig]:
    """The language model of a PLLaVA, its tokenizer and config; tower and projector stay on the disk.

    As `load_pllava` otherwise, and as strict: the whole checkpoint is checked.
    """
    check_alpha(lora_alpha)
    model, inventory = open_checkpoint(checkpoint, base)
    model.vision_tower = model.projector = None
    loaded = _load(model, inventory, lora_alpha, dtype, {"": str(device)})
    return loaded.language_model, loaded.tokenizer, loaded.config


def load_without_blocks(
    checkpoint: str | Path,
    *,
    base: str | Path | None = None,
    lora_alpha: float = 4,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "cpu",
) -> Pllava:
    """All of a PLLaVA that makes prompt embeddings: tower, projector and embedding table.

    For engines that hold the language model themselves; its blocks and its head stay on the disk. As
    `load_pllava` otherwise, and as strict.
    """
    check_alpha(lora_alpha)
    model, inventory = open_checkpoint(checkpoint, base)
    del model.language_model.model.layers[:]
    model.language_model.model.norm = model.language_model.lm_head = None
    return _load(model, inventory, lora_alpha, dtype, {"": str(device)})


def _load(
    model: Pllava,
    inventory: Inventory,
    lora_alpha: float,
    dtype: str | torch.dtype,
    device_map: Mapping[str, str | int],
) -> Pllava:
    placement = Placement.of(device_map, model)
    model.tokenizer = load_tokenizer(inventory.folders, inventory.config)
    model.to(compute_dtype(dtype, inventory.config, inventory.stored_dtype))
    model.compute_device = placement.main
    off_disk = _fill(model, inventory, placement, lora_alpha)
    model.restore_buffers()
    model.requires_grad_(False).eval()
    if placement.is_split:
        dispatch(model, placement, off_disk)
    return model


@torch.no_grad()
def _fill(model: Pllava, inventory: Inventory, placement: Placement, lora_alpha: float) -> OffDisk:
    off_disk, meta = OffDisk(), dict(model.named_parameters())
    # All room is taken before the first weight is read: what merging needs in between would leave holes.
    for name, home in placement.homes.items():
        if home != DISK:
            _set(model, name, torch.empty_like(meta[name], device=home))
    for name, weight in model.named_parameters():
        parts, on_disk = inventory.parts[name], placement.homes[name] == DISK
        if on_disk and not ("lora_A" in parts and lora_alpha > 0):
            off_disk.refer(name, parts["weight"], weight.dtype)
            continue
        into = torch.empty_like(weight, device=placement.main) if on_disk else weight
        gather(weight_blocks(parts, lora_alpha, into.device), into)
        if on_disk:
            off_disk.keep(name, into)
    return off_disk


def _set(model: nn.Module, name: str, weight: torch.Tensor) -> None:
    module, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(module), leaf, nn.Parameter(weight, requires_grad=False))
