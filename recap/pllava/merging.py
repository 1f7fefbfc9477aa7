"""Weights with their LoRA merged in, a block of rows at a time.

A block is all that is ever in memory beside the model: the files are mapped, not read whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from safetensors import safe_open
from torch import Tensor

from recap.pllava.inventory import Parts
from recap.pllava.safetensors_files import Stored

_ROWS = 1024


def check_alpha(lora_alpha: float) -> None:
    """ValueError unless `lora_alpha` can weigh a LoRA."""
    if not 0 <= lora_alpha < math.inf:
        raise ValueError(f"lora_alpha is {lora_alpha}; it must be 0 (no LoRA) or more, published models use 4")


def weight_blocks(parts: Parts, lora_alpha: float, device: torch.device | str) -> Iterator[Tensor]:
    """The rows of one weight, in order: as stored, or W + (lora_alpha / rank)·B·A in float32 on `device`."""
    weight = _read(parts["weight"])
    if "lora_A" not in parts or not lora_alpha:
        yield weight
        return
    down, up = (_read(parts[half]).to(device, torch.float32) for half in ("lora_A", "lora_B"))
    scale = lora_alpha / len(down)
    for rows, lifts in zip(weight.split(_ROWS), up.split(_ROWS), strict=True):
        yield rows.to(device, torch.float32).addmm(lifts, down, alpha=scale)


def gather(blocks: Iterator[Tensor], into: Tensor) -> Tensor:
    """Copy the blocks into the rows of `into`, cast to its type, and return it."""
    start = 0
    for block in blocks:
        into[start : start + len(block)].copy_(block)
        start += len(block)
    assert start == len(into)
    return into


def _read(stored: Stored) -> Tensor:
    # The file is opened anew each time: a mapping kept open would keep every page that was read in memory.
    with safe_open(stored.path, framework="pt", device="cpu") as file:
        return file.get_tensor(stored.key)
