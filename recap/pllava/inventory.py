"""What checkpoint folders offer for each parameter of a model, and whether that is all of it and no more.

Only headers are read: a checkpoint is known to be whole before a byte of weights is touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from recap.pllava.config import PllavaConfig, read_config
from recap.pllava.keymap import Part, is_unused, place
from recap.pllava.safetensors_files import Stored, checkpoint_folder, tensors

_LISTED = 8

# What the files offer for one parameter: its weight and the halves of its LoRA.
Parts = dict[Part, Stored]


@dataclass(frozen=True)
class Inventory:
    """A whole checkpoint: its folders (the base last), configuration and, by our parameter names, its parts."""

    folders: list[Path]
    config: PllavaConfig
    parts: dict[str, Parts]

    @property
    def stored_dtype(self) -> str:
        """The type of the files, by that of the embeddings ("BF16")."""
        return self.parts["language_model.model.embed_tokens.weight"]["weight"].dtype

    @property
    def lora_rank(self) -> int:
        """The largest rank of any LoRA; 0 where there is none."""
        halves = (parts["lora_A"] for parts in self.parts.values() if "lora_A" in parts)
        return max((half.shape[0] for half in halves), default=0)


def read_inventory(checkpoint: str | Path, base: str | Path | None) -> Inventory:
    """What the folders hold. ValueError where they are missing, incomplete, damaged or no PLLaVA."""
    folders = [checkpoint_folder(folder) for folder in (checkpoint, base) if folder is not None]
    config = read_config(folders[0])
    return Inventory(folders, config, _offered(folders, config))


def _offered(folders: list[Path], config: PllavaConfig) -> dict[str, Parts]:
    """By our parameter names, what the folders hold; the first folder wins over the base behind it."""
    offered: dict[str, Parts] = {}
    for folder in reversed(folders):
        for parameter, parts in _folder_parts(folder, config).items():
            # A weight comes with its own LoRA or none: that of the base was trained on the base's weight.
            beneath = {} if "weight" in parts else offered.get(parameter, {})
            offered[parameter] = beneath | parts
    return offered


def _folder_parts(folder: Path, config: PllavaConfig) -> dict[str, Parts]:
    found: dict[str, Parts] = defaultdict(dict)
    for stored in tensors(folder):
        parameter, part = place(stored.key)
        if is_unused(parameter, config.vision_blocks):
            continue
        if part in found[parameter]:
            twice = f"{found[parameter][part].key} and {stored.key}"
            raise ValueError(f"{folder} holds the same tensor twice, as {twice}; remove one of them")
        found[parameter][part] = stored
    return dict(found)


def check_complete(inventory: Inventory, wanted: Mapping[str, tuple[int, ...]]) -> None:
    """ValueError for tensors that are missing, left over or of other shapes than those `wanted`, by our names."""
    offered, folders = inventory.parts, inventory.folders
    missing = [name for name in wanted if "weight" not in offered.get(name, {})]
    left_over = [stored.key for name in offered.keys() - wanted.keys() for stored in offered[name].values()]
    misshapen = [text for name, shape in wanted.items() for text in _misfits(shape, offered.get(name, {}))]
    groups = {"missing": missing, "left over": sorted(left_over), "of the wrong shape": misshapen}
    if not any(groups.values()):
        return
    found = "\n".join(f"{len(names)} {what}: {listed(names)}" for what, names in groups.items() if names)
    where = " over ".join(map(str, folders))
    raise ValueError(f"the tensors in {where} are not those of its config.json\n{found}\n{_advice(groups, folders)}")


def _misfits(shape: tuple[int, ...], parts: Parts) -> Iterable[str]:
    """What is wrong with the shapes offered for a parameter of `shape`."""
    if "weight" in parts and parts["weight"].shape != shape:
        yield f"{parts['weight'].key} {parts['weight'].shape}, expected {shape}"
    if "lora_A" not in parts and "lora_B" not in parts:
        return
    if "lora_A" not in parts or "lora_B" not in parts:
        half = parts.get("lora_A") or parts["lora_B"]
        yield f"{half.key} without the other half of its LoRA"
        return
    down, up = parts["lora_A"], parts["lora_B"]
    if len(shape) != 2 or down.shape[1:] != shape[1:] or up.shape != (shape[0], *down.shape[:1]):
        yield f"{down.key} {down.shape} with {up.shape}, expected (rank, {shape[-1]}) with ({shape[0]}, rank)"


def listed(names: list[str]) -> str:
    """The first of `names`, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _advice(groups: dict[str, list[str]], folders: list[Path]) -> str:
    if groups["missing"] and len(folders) == 1:
        return (
            "download the folder again; if it holds only LoRA and projector, give the LLaVA it was trained on as base"
        )
    if groups["missing"]:
        return "the base must be the LLaVA that this checkpoint was trained on; download it again"
    return "config.json and weights must come from the same checkpoint; download the folder again"
