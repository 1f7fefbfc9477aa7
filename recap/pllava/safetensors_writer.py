"""Writing a safetensors file whose tensors never are in memory together."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from recap.pllava.dtypes import stored_name

_ALIGNMENT = 8


def write_tensors(
    path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, blocks: Iterable[Tensor]
) -> None:
    """Write tensors of `shapes`, all cast to `dtype`, into a new file; it is on disk when this returns.

    `blocks` are their values in that order, each tensor whole or in consecutive blocks of rows.
    """
    with path.open("xb") as file:
        header = _header(shapes, dtype)
        file.write(header)
        for block in blocks:
            file.write(block.to(dtype).contiguous().cpu().reshape(-1).view(torch.uint8).numpy())
        promised = len(header) + dtype.itemsize * sum(map(math.prod, shapes.values()))
        assert file.tell() == promised, f"{path}: {file.tell()} bytes where the header promises {promised}"
        file.flush()
        os.fsync(file.fileno())


def _header(shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> bytes:
    entries: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    start = 0
    for key, shape in shapes.items():
        end = start + dtype.itemsize * math.prod(shape)
        entries[key] = {"dtype": stored_name(dtype), "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text
