"""A checkpoint with its LoRA merged in, whose language model is a plain Llama folder for other engines.

    config.json, tokenizer, model.safetensors.index.json       what `load_pllava` reads
    model-00001-of-0000N.safetensors …                         tower and projector
    language_model/config.json, tokenizer, index, shards …     what `LlamaForCausalLM` and vLLM read

No weight is stored twice: the index at the top names the shards below.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import GenerationConfig, LlamaConfig

from recap import __version__
from recap.pllava.checkpoint import open_checkpoint
from recap.pllava.config import PllavaConfig, read_json
from recap.pllava.digest import weight_digest
from recap.pllava.dtypes import compute_dtype, dtype_name
from recap.pllava.inventory import Inventory
from recap.pllava.keymap import published_key
from recap.pllava.merging import check_alpha, weight_blocks
from recap.pllava.safetensors_files import INDEX
from recap.pllava.safetensors_writer import write_tensors
from recap.pllava.tokenizer import load_tokenizer, tokenizer_folder

LANGUAGE_MODEL = "language_model"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
_OTHER_FILES = ("generation_config.json", "preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True)
class _Merge:
    """One merge: where from, how, and the shape of every parameter by our names."""

    inventory: Inventory
    lora_alpha: float
    dtype: torch.dtype
    shapes: dict[str, tuple[int, ...]]
    shard_bytes: float


def merge_checkpoint(
    checkpoint: str | Path,
    out: str | Path,
    *,
    base: str | Path | None = None,
    lora_alpha: float = 4,
    dtype: str | torch.dtype = "auto",
    shard_bytes: float = 5e9,
) -> Path:
    """Merge the LoRA of `checkpoint` and write the whole model into the new folder `out`; returns that.

    `load_pllava(out)` gives the numbers of `load_pllava(checkpoint, …)` with the same `base`, `lora_alpha`
    and `dtype`, whatever alpha it is then given; `out/language_model` is a plain Llama. Shards hold up to
    `shard_bytes`; a block of one tensor at a time is in memory. config.json says under `provenance` what was
    merged. ValueError for what `load_pllava` refuses, for an `out` with something in it and for a full disk.
    """
    check_alpha(lora_alpha)
    if not shard_bytes > 0:
        raise ValueError(f"shard_bytes is {shard_bytes}; it must be above 0, such as 5e9")
    model, inventory = open_checkpoint(checkpoint, base)
    load_tokenizer(inventory.folders, inventory.config)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    to = compute_dtype(dtype, inventory.config, inventory.stored_dtype)
    merge = _Merge(inventory, lora_alpha, to, shapes, shard_bytes)
    config = _config(merge)
    with _appearing(Path(out).expanduser(), _size(merge, shapes)) as folder:
        _write_weights(merge, folder)
        _write_language_config(merge, folder / LANGUAGE_MODEL)
        copy_files(inventory.folders, folder)
        _copy_tokenizer(inventory.folders, folder / LANGUAGE_MODEL)
        _write_json(folder / "config.json", config)
    return Path(out).expanduser()


def partial_folder(out: Path) -> Path:
    """Where `merge_checkpoint` writes what becomes `out`; a killed merge leaves it behind."""
    place = out.resolve()
    return place.with_name(place.name + ".partial")


@contextmanager
def _appearing(out: Path, size: int) -> Iterator[Path]:
    """A folder to fill, which becomes `out` when all is written and vanishes when not."""
    partial = _begun(out, size)
    try:
        (partial / LANGUAGE_MODEL).mkdir()
        yield partial
        for path in (*partial.rglob("*"), partial):
            _sync(path)
        partial.replace(out.resolve())
        _sync(partial.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _sync(path: Path) -> None:
    """A file, or a folder's names, to the disk: whoever finds `out` takes it for whole."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _begun(out: Path, size: int) -> Path:
    """The partial folder, made. ValueError where it could not become `out`, or is another merge's."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not an empty folder; merge into a new one")
    if (place := out.resolve()).is_mount() or place == Path.cwd():
        raise ValueError(f"{out} is in use and cannot be replaced; merge into a new folder in it")
    partial = partial_folder(out)
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{partial.parent} cannot be made ({error.strerror}); merge into another folder") from None
    if size > (free := shutil.disk_usage(partial.parent).free):
        raise ValueError(
            f"{out} needs {size / 1e9:.1f} GB and its disk has {free / 1e9:.1f} GB left; free some or use another"
        )
    try:
        partial.mkdir()
    except FileExistsError:
        raise ValueError(f"{partial} exists: another merge is running, or was killed; if so, delete it") from None
    return partial


def _write_weights(merge: _Merge, folder: Path) -> None:
    inner = [name for name in merge.shapes if name.startswith(LANGUAGE_MODEL + ".")]
    outer = [name for name in merge.shapes if name not in inner]
    below = _write_shards(merge, folder / LANGUAGE_MODEL, inner)
    above = _write_shards(merge, folder, outer)
    total = _size(merge, merge.shapes)
    _write_index(folder / LANGUAGE_MODEL, below, _size(merge, inner))
    _write_index(folder, above | {key: f"{LANGUAGE_MODEL}/{file}" for key, file in below.items()}, total)


def _write_shards(merge: _Merge, folder: Path, names: list[str]) -> dict[str, str]:
    """Write the parameters `names` into `folder`; returns the file of every key."""
    shards = _cut(merge, names)
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        shapes = {_key(name): merge.shapes[name] for name in shard}
        write_tensors(folder / file, shapes, merge.dtype, _values(merge, shard))
        weight_map |= dict.fromkeys(shapes, file)
    return weight_map


def _cut(merge: _Merge, names: list[str]) -> list[list[str]]:
    """`names` in runs of at most `shard_bytes`, or of one tensor that is larger."""
    shards: list[list[str]] = []
    room = 0.0
    for name in names:
        size = _size(merge, [name])
        if size > room or not shards:
            shards.append([])
            room = merge.shard_bytes
        shards[-1].append(name)
        room -= size
    return shards


def _values(merge: _Merge, names: list[str]) -> Iterator[Tensor]:
    for name in names:
        yield from weight_blocks(merge.inventory.parts[name], merge.lora_alpha, "cpu")


def _size(merge: _Merge, names) -> int:
    return merge.dtype.itemsize * sum(math.prod(merge.shapes[name]) for name in names)


def _key(name: str) -> str:
    """Our `name` as the files spell it: plain Llama's in its own folder, the published one at the top."""
    inner = name.removeprefix(LANGUAGE_MODEL + ".")
    return inner if inner != name else published_key(name)


def _write_index(folder: Path, weight_map: dict[str, str], total_size: int) -> None:
    _write_json(folder / INDEX, {"metadata": {"total_size": total_size}, "weight_map": weight_map})


def _config(merge: _Merge) -> dict:
    """The checkpoint's own config.json, with the new type and what was done to it."""
    folders = merge.inventory.folders
    content = read_json(folders[0] / "config.json")
    content.pop("dtype", None)
    provenance = {
        "source_digest": weight_digest(folders[0]),
        "base_digest": weight_digest(folders[1]) if len(folders) > 1 else None,
        "lora_alpha": merge.lora_alpha,
        "lora_rank": merge.inventory.lora_rank,
        "recap_version": __version__,
        "source_provenance": content.get("provenance"),
    }
    return content | {"torch_dtype": dtype_name(merge.dtype), "provenance": provenance}


def _write_language_config(merge: _Merge, folder: Path) -> None:
    ids = _token_ids(merge.inventory.config)
    text = merge.inventory.config.text.to_dict() | ids
    text |= {"architectures": ["LlamaForCausalLM"], "dtype": dtype_name(merge.dtype)}
    LlamaConfig.from_dict(text).save_pretrained(folder)
    GenerationConfig(**ids).save_pretrained(folder)


def _token_ids(config: PllavaConfig) -> dict:
    ends = config.eos_token_ids
    return {
        "bos_token_id": config.text.bos_token_id,
        "eos_token_id": ends[0] if len(ends) == 1 else list(ends),
        "pad_token_id": next(iter(config.pad_token_ids), None),
    }


def copy_files(folders: Sequence[Path], into: Path) -> None:
    """Copy what a checkpoint in `folders`, the base last, has beside its weights and its config.json."""
    _copy(folders[0], into, _OTHER_FILES)
    _copy_tokenizer(folders, into)


def _copy_tokenizer(folders: Sequence[Path], into: Path) -> None:
    if words := tokenizer_folder(list(folders)):
        _copy(words, into, _TOKENIZER_FILES)


def _copy(source: Path, folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
