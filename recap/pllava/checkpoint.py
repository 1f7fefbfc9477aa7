"""From a checkpoint folder to a `Pllava` that computes, strictly: each tensor has its place or loading fails.

The headers of all files are matched with the model's parameters first. Then the weights go one by one from
the file to where they belong: beside the model, only one tensor and its LoRA are ever in memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from recap.pllava.config import PllavaConfig, read_config
from recap.pllava.keymap import Part, is_unused, place
from recap.pllava.model import Pllava
from recap.pllava.safetensors_files import Stored, checkpoint_folder, tensors
from recap.pllava.tokenizer import load_tokenizer

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_STORED_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
_LISTED = 8

# What the files offer for one parameter: its weight and the halves of its LoRA.
Parts = dict[Part, Stored]


def load_pllava(
    checkpoint: str | Path,
    *,
    base: str | Path | None = None,
    lora_alpha: float = 4,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "cpu",
) -> Pllava:
    """Load the PLLaVA in the folder `checkpoint`, ready to compute, without gradients.

    `base` is a LLaVA folder for checkpoints that hold only LoRA and projector. Each LoRA is merged as
    W + (lora_alpha / rank)·B·A in float32; its rank is read off the tensors, and 0 leaves it out. `dtype`
    "auto" is what config.json says, else what the files hold. ValueError, with what to do, for a folder that
    is missing, incomplete, damaged or not a PLLaVA, and for tensors that are missing, left over or of the
    wrong shape.
    """
    if not lora_alpha >= 0:
        raise ValueError(
            f"lora_alpha is {lora_alpha}; it must be 0 (no LoRA) or more, published models use 4"
        )
    folders = [checkpoint_folder(folder) for folder in (checkpoint, base) if folder is not None]
    config = read_config(folders[0])
    model = _on_meta(config)
    offered = _offered(folders, config)
    _check_complete(model, offered, folders)
    model.tokenizer = load_tokenizer(folders, config)
    model.to(_dtype(dtype, config, offered)).to_empty(device=device)
    model.restore_buffers()
    _fill(model, offered, lora_alpha)
    return model.requires_grad_(False).eval()


def _on_meta(config: PllavaConfig) -> Pllava:
    with torch.device("meta"):
        return Pllava(config)


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


def _check_complete(model: nn.Module, offered: dict[str, Parts], folders: list[Path]) -> None:
    wanted = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    missing = [name for name in wanted if "weight" not in offered.get(name, {})]
    left_over = [stored.key for name in offered.keys() - wanted.keys() for stored in offered[name].values()]
    misshapen = [text for name, shape in wanted.items() for text in _misfits(shape, offered.get(name, {}))]
    groups = {"missing": missing, "left over": sorted(left_over), "of the wrong shape": misshapen}
    if not any(groups.values()):
        return
    found = "\n".join(f"{len(names)} {what}: {_listed(names)}" for what, names in groups.items() if names)
    where = " over ".join(map(str, folders))
    raise ValueError(
        f"the tensors in {where} are not those of its config.json\n{found}\n{_advice(groups, folders)}"
    )


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


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _advice(groups: dict[str, list[str]], folders: list[Path]) -> str:
    if groups["missing"] and len(folders) == 1:
        return (
            "download the folder again; "
            "if it holds only LoRA and projector, give the LLaVA it was trained on as base"
        )
    if groups["missing"]:
        return "the base must be the LLaVA that this checkpoint was trained on; download it again"
    return "config.json and weights must come from the same checkpoint; download the folder again"


def _dtype(dtype: str | torch.dtype, config: PllavaConfig, offered: dict[str, Parts]) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype == "auto":
        embedding = offered["language_model.model.embed_tokens.weight"]["weight"]
        return _DTYPES.get(config.dtype or "") or _STORED_DTYPES.get(embedding.dtype, torch.float32)
    if dtype not in _DTYPES:
        raise ValueError(f"dtype is {dtype!r}; choose auto, {', '.join(_DTYPES)}")
    return _DTYPES[dtype]


@torch.no_grad()
def _fill(model: nn.Module, offered: dict[str, Parts], lora_alpha: float) -> None:
    for name, parameter in model.named_parameters():
        parts = offered[name]
        if "lora_A" in parts and lora_alpha:
            parameter.copy_(_merged(parts, lora_alpha, parameter.device))
        else:
            parameter.copy_(_read(parts["weight"]))


def _merged(parts: Parts, lora_alpha: float, device: torch.device) -> Tensor:
    """W + (alpha / rank)·B·A in float32."""
    weight, down, up = (
        _read(parts[part]).to(device, torch.float32) for part in ("weight", "lora_A", "lora_B")
    )
    return weight + (lora_alpha / len(down)) * (up @ down)


def _read(stored: Stored) -> Tensor:
    # The file is opened anew each time: a mapping kept open would keep every page that was read in memory.
    with safe_open(stored.path, framework="pt", device="cpu") as file:
        return file.get_tensor(stored.key)
