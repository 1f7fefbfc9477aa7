"""Where the weights of a model live when one device is not enough, and how they meet the data.

The hooks that move data between devices and fetch weights from memory or disk are accelerate's, which is
imported only for a model that is split.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from recap.pllava.dtypes import dtype_name
from recap.pllava.inventory import listed
from recap.pllava.model import Pllava
from recap.pllava.safetensors_files import Stored

DISK = "disk"
_INDIVISIBLE = re.compile(r"\.layers\.\d+\.|^vision_tower\.embeddings\.")
# Keys and values stay with the block they belong to.
_CACHE = ["past_key_values"]


@dataclass(frozen=True)
class Placement:
    """`homes`: the device, or "disk", of every parameter; `modules`: the largest modules with one home each.

    `main` is the device that computes for weights without a card of their own.
    """

    homes: Mapping[str, str]
    modules: Mapping[str, str]
    main: torch.device

    @classmethod
    def of(cls, device_map: Mapping[str, str | int], model: Pllava) -> Placement:
        """Read a device map. ValueError for unknown modules or devices, and for parameters without a home."""
        asked = {name: _device_name(name, value) for name, value in device_map.items()}
        _check_modules(asked, model)
        homes = {name: _home(name, asked) for name, _ in model.named_parameters()}
        if homeless := [name for name, home in homes.items() if not home]:
            raise ValueError(f'device_map has no place for {listed(homeless)}; add them, or "" for all others')
        cards = [device for device in homes.values() if device not in (DISK, "cpu")]
        return cls(homes, _one_home_each(model, homes), torch.device(cards[0] if cards else "cpu"))

    @property
    def is_split(self) -> bool:
        """Whether hooks are needed: more than one place, or the disk."""
        places = set(self.homes.values())
        return len(places) > 1 or DISK in places


class OffDisk:
    """Weights that stay on disk: references into the checkpoint's files, and copies of merged ones."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.index: dict[str, dict] = {}

    def refer(self, name: str, stored: Stored, dtype: torch.dtype) -> None:
        """The parameter `name` is what `stored` holds, cast to `dtype`."""
        self.index[name] = {
            "safetensors_file": str(stored.path.absolute()),
            "weight_name": stored.key,
            "dtype": dtype_name(dtype),
        }

    def keep(self, name: str, weight: Tensor) -> None:
        """Write `weight` into the temporary folder."""
        from accelerate.utils import offload_weight

        self.folder = self.folder or tempfile.mkdtemp(prefix="recap-weights-")
        offload_weight(weight, name, self.folder, index=self.index)


def dispatch(model: Pllava, placement: Placement, off_disk: OffDisk) -> None:
    """Let data and weights find each other. The temporary folder goes when the model does."""
    from accelerate import dispatch_model
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    if off_disk.folder:
        weakref.finalize(model, shutil.rmtree, off_disk.folder, ignore_errors=True)
    dispatch_model(
        model,
        dict(placement.modules),
        main_device=str(placement.main),
        offload_dir=off_disk.folder,
        offload_index=off_disk.index or None,
        skip_keys=_CACHE,
        force_hooks=True,
    )
    # Logits come back to where the embeddings came from, whichever card the last block is on.
    home = AlignDevicesHook(io_same_device=True, skip_keys=_CACHE)
    add_hook_to_module(model.language_model, home, append=True)


def _device_name(module: str, value: str | int) -> str:
    if value == DISK:
        return DISK
    try:
        return str(torch.device(f"cuda:{value}" if isinstance(value, int) else value))
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f'device_map[{module!r}] is {value!r}; give a card (0 or "cuda:0"), "cpu" or "disk"'
        ) from error


def _check_modules(asked: Mapping[str, str], model: Pllava) -> None:
    known = {name for name, _ in model.named_modules()}
    if unknown := [name for name in asked if name not in known]:
        raise ValueError(
            f"device_map names {listed(unknown)}, which the model does not have; its modules are "
            f"{', '.join(name for name, _ in model.named_children())} and what lies in them, such as "
            "language_model.model.layers.0"
        )
    if split := [name for name in asked if _INDIVISIBLE.search(name)]:
        raise ValueError(f"device_map splits a block, with {listed(split)}; keep each block in one place")


def _one_home_each(model: Pllava, homes: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, module in model.named_modules():
        above = name.split(".")
        if "" in found or any(".".join(above[:depth]) in found for depth in range(1, len(above))):
            continue
        places = {homes[f"{name}.{inner}".strip(".")] for inner, _ in module.named_parameters()}
        if len(places) == 1:
            found[name] = places.pop()
    return found


def _home(parameter: str, modules: Mapping[str, str]) -> str | None:
    """That of the innermost module that has one."""
    name = parameter
    while name:
        name = name.rpartition(".")[0]
        if name in modules:
            return modules[name]
    return None
