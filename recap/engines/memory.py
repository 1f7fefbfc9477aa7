"""How many texts can be written together in the memory that is free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers import LlamaConfig, PreTrainedModel

from recap.engines.base import PROMPTS_PER_SLOT
from recap.limits import free_memory_bytes

CUDA_SHARE, CPU_SHARE = 0.8, 0.5  # the rest is for activations, and on a CPU for everything else that runs there
PREFILL_SHARE = 0.25  # of what is for activations: a prefill's stand beside a vision tower's, and gaps
# With more, activations would not stay in a processor's caches; with fewer, a card's last tiles would leave it idle.
PREFILL_POSITIONS = {"cpu": 1024, "cuda": 8192}
FULL = ("out of memory", "ALLOC_FAILED", "DefaultCPUAllocator")


def rows_that_fit(model: PreTrainedModel, capacity: int, wanted: int, copies: int = 1) -> int:
    """Cache rows of `capacity` positions, and their prompts, that the free memory of every device holds.

    `wanted` at most, at least 1. So many `copies` of the model may look at the memory of one machine at once.
    """
    block_bytes = position_bytes(model.config, model.dtype) / model.config.num_hidden_layers
    position = Counter({home(model): PROMPTS_PER_SLOT * model.config.hidden_size * model.dtype.itemsize})
    for block in model.model.layers:
        position[computes_on(block)] += block_bytes
    fit = [usable_bytes(device, copies) / (capacity * taken) for device, taken in position.items()]
    return max(1, int(min(wanted, *fit)))


def prefill_positions(model: PreTrainedModel) -> int:
    """How many positions of several prompts are taken in together: fewer where a card is nearly full."""
    device, config = home(model), model.config
    most = PREFILL_POSITIONS[device.type]
    if device.type == "cpu":
        return most
    room = usable_bytes(device) * (1 / CUDA_SHARE - 1) * PREFILL_SHARE
    return min(most, int(room / ((3 * config.intermediate_size + 4 * config.hidden_size) * model.dtype.itemsize)))


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether it is torch's own exception for that, or one of the driver and of libraries, which torch knows no better.

    A kernel that is loaded late, for one, finds no room beside what torch has reserved.
    """
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in FULL)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError where memory runs out."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(str(error)) from None


def home(model: PreTrainedModel) -> torch.device:
    """Where prompts enter `model`."""
    return computes_on(model.get_input_embeddings())


def on_current_card(model: PreTrainedModel) -> bool:
    """Whether all of `model` lives on the GPU that this thread computes on."""
    device = home(model)
    return (
        device.type == "cuda"
        and device.index == torch.cuda.current_device()
        and all(weight.device == device for weight in model.parameters())
    )


def computes_on(module: nn.Module) -> torch.device:
    """Weights that live elsewhere, in memory or on disk, come to where accelerate's hook says."""
    visited = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
    return next(module.parameters()).device if visited is None else torch.device(visited)


def position_bytes(config: LlamaConfig, dtype: torch.dtype) -> int:
    """What one position of one text takes in the cache."""
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * config.num_key_value_heads * width * dtype.itemsize


def usable_bytes(device: torch.device, copies: int = 1) -> float:
    """What caches may take of the memory that is free on `device`; a card's is not shared, or by fixed shares."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        reserved, allocated = torch.cuda.memory_reserved(device), torch.cuda.memory_allocated(device)
        ours = torch.cuda.get_per_process_memory_fraction(device) * total
        return CUDA_SHARE * (min(free, ours - reserved) + reserved - allocated)
    return CPU_SHARE * free_memory_bytes() / copies
