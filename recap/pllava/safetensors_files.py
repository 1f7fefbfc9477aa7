"""Which safetensors files make up a checkpoint folder, and what their headers promise.

Only headers are read here: a checkpoint is known to be whole before a byte of weights is touched.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

from recap.pllava.hub import is_hub_id, named_folder
from recap.pllava.reading import reading

INDEX = "model.safetensors.index.json"
_PICKLES = (".bin", ".pth", ".pt", ".ckpt")
_AGAIN = "download it again"


@dataclass(frozen=True)
class Stored:
    """One tensor in a file: name there, shape, safetensors dtype ("BF16") and span in bytes."""

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: str
    start: int
    end: int


def checkpoint_folder(folder: str | Path) -> Path:
    """The folder as a path. ValueError if there is none."""
    path = named_folder(folder)
    if path.is_dir():
        return path
    if path.exists():
        raise ValueError(f"the checkpoint {folder} is a file; give the folder that holds config.json and the weights")
    command = f" with `hf download {folder} --local-dir {folder}`" if is_hub_id(folder) else ""
    raise ValueError(f"there is no checkpoint folder {folder}; download it first{command}")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up the checkpoint: those of the index, else the single one."""
    if (folder / INDEX).is_file():
        return _indexed_files(folder)
    found = sorted(path for path in folder.glob("*.safetensors") if path.is_file())
    if len(found) > 1:
        found = [path for path in found if path.name == "model.safetensors"]
        if not found:
            raise ValueError(f"{folder} holds several safetensors files and no {INDEX}; {_AGAIN} with its index")
    if not found:
        raise ValueError(_no_weights(folder))
    return found


def tensors(folder: Path) -> list[Stored]:
    """Every tensor of the checkpoint, in file order. ValueError for files that are missing or damaged."""
    return [stored for path in weight_files(folder) for stored in file_tensors(path)]


def file_tensors(path: Path) -> list[Stored]:
    """Every tensor of one file, by its header; ValueError if the file is not as long as that says."""
    header, data_start = _header(path)
    with reading(path):
        stored = [
            Stored(
                path,
                key,
                tuple(entry["shape"]),
                entry["dtype"],
                data_start + entry["data_offsets"][0],
                data_start + entry["data_offsets"][1],
            )
            for key, entry in header.items()
            if key != "__metadata__"
        ]
    promised, actual = max((tensor.end for tensor in stored), default=data_start), path.stat().st_size
    if promised != actual:
        raise ValueError(f"{path} is damaged: {actual} bytes long where its header promises {promised}; {_AGAIN}")
    return stored


def _indexed_files(folder: Path) -> list[Path]:
    try:
        weight_map = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(map(str, weight_map.values())))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / INDEX} is no index of safetensors files ({error!r}); {_AGAIN}") from error
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise ValueError(f"{folder} lacks {len(missing)} of the {len(names)} files in its index: {', '.join(missing)}")
    return [folder / name for name in names]


def _no_weights(folder: Path) -> str:
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    if pickles:
        return (
            f"{folder} holds weights only as pickles ({', '.join(pickles)}), which can run code when opened; "
            "convert them to safetensors or download the safetensors revision"
        )
    return f"{folder} holds no *.safetensors file; download the weights into it"


def _header(path: Path) -> tuple[dict, int]:
    """The parsed JSON header of `path` and where the tensor data starts, in bytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else -1
        if not 0 <= length <= size - 8:
            raise ValueError(f"{path} is damaged: {size} bytes long, cut off inside its header; {_AGAIN}")
        try:
            return json.loads(file.read(length)), 8 + length
        except ValueError as error:
            raise ValueError(f"{path} is damaged: its header is not JSON; {_AGAIN}") from error
