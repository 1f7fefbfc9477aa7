"""Two cards in a machine that has none, for torch as it is installed here: see chip.cpp."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pretended_graphs
import torch

BYTES = "PRETENDED_CARD_BYTES"


def autoload() -> None:
    """Called by `import torch` in every process whose path has this package's entry point (group torch.backends)."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") != "":  # hides real ones too
        insert(int(os.environ[BYTES]))


def insert(card_bytes: int) -> ModuleType:
    """Build the chip where that has not been done, and let `torch.cuda` speak of it."""
    from torch import _meta_registrations  # noqa: F401 - shapes of what has no C++ ones
    from torch.utils.cpp_extension import load

    assert torch.version.cuda is None, "this torch can use real cards, whose place the pretended ones would take"
    chip = load("pretended_card", [str(Path(__file__).with_name("chip.cpp"))], extra_cflags=["-O1"])
    chip.insert(card_bytes)

    def number(device=None) -> int:
        index = device if isinstance(device, int) else device and torch.device(device).index
        return chip.current() if index is None else index

    def properties(device=None) -> SimpleNamespace:
        return SimpleNamespace(name="pretended", total_memory=chip.capacity(number(device)), major=9, minor=0)

    answers = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": chip.cards,
        "manual_seed_all": lambda seed: None,
        "synchronize": lambda device=None: None,
        "empty_cache": lambda: None,
        "set_per_process_memory_fraction": lambda fraction, device=None: chip.limit(number(device), fraction),
        "get_per_process_memory_fraction": lambda device=None: chip.share(number(device)),
        "memory_allocated": lambda device=None: chip.used(number(device)),
        "memory_reserved": lambda device=None: chip.used(number(device)),
        "mem_get_info": lambda device=None: (
            chip.capacity(number(device)) - chip.used(number(device)),
            chip.capacity(number(device)),
        ),
        "get_device_name": lambda device=None: "pretended",
        "get_device_properties": properties,
        "get_device_capability": lambda device=None: (9, 0),
    }
    answers |= pretended_graphs.answers()
    torch._C._cuda_getDevice, torch._C._cuda_setDevice = chip.current, chip.set_current
    torch.cuda.default_generators = tuple(torch.Generator() for _ in range(chip.cards()))
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)
    return chip
