"""How many texts can be written together in the memory that is free."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch
from transformers import LlamaConfig, PreTrainedModel

CUDA_SHARE, CPU_SHARE = 0.8, 0.5  # the rest is for activations, and on a CPU for everything else that runs there
_MEMINFO = Path("/proc/meminfo")


def rows_that_fit(model: PreTrainedModel, capacity: int, wanted: int) -> int:
    """Cache rows of `capacity` positions, `wanted` at most, that the free memory of every device holds; at least 1."""
    row_bytes = capacity * position_bytes(model.config, model.dtype)
    devices = Counter(next(block.parameters()).device for block in model.model.layers)
    fit = [usable_bytes(device) / (row_bytes * blocks / devices.total()) for device, blocks in devices.items()]
    return max(1, int(min(wanted, *fit)))


def position_bytes(config: LlamaConfig, dtype: torch.dtype) -> int:
    """What one position of one text takes in the cache."""
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * config.num_key_value_heads * width * dtype.itemsize


def usable_bytes(device: torch.device) -> float:
    """What caches may take of the memory that is free on `device`."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return CUDA_SHARE * (torch.cuda.mem_get_info(device)[0] + unused)
    if not _MEMINFO.exists():
        return float("inf")
    (available,) = (line for line in _MEMINFO.read_text().splitlines() if line.startswith("MemAvailable:"))
    return CPU_SHARE * int(available.split()[1]) * 1024
