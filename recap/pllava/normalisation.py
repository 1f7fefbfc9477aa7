"""From uint8 pixels to what the vision tower was trained on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def _lookup_table() -> np.ndarray:
    """(3, 256) float32: the value of each level of each colour, rounded as CLIP's own processor does."""
    levels = (np.arange(256) * (1 / 255)).astype(np.float32)
    mean, std = (np.array(values, dtype=np.float32)[:, None] for values in (MEAN, STD))
    return (levels - mean) / std


_TABLE = torch.from_numpy(_lookup_table())


def normalise(frames: np.ndarray | Tensor) -> Tensor:
    """RGB frames, uint8 (frames, height, width, 3), as float32 (frames, 3, height, width) on the same device.

    Scaled to 0–1, less CLIP's mean, over its standard deviation. ValueError for another shape or type.
    """
    pixels = torch.as_tensor(frames)
    if pixels.dtype != torch.uint8 or pixels.dim() != 4 or pixels.shape[-1] != 3:
        raise ValueError(f"frames must be uint8 (frames, height, width, 3), not {pixels.dtype} {tuple(pixels.shape)}")
    colours = zip(_TABLE.to(pixels.device), pixels.unbind(-1), strict=True)
    return torch.stack([_levels(table, colour) for table, colour in colours], dim=1)


def _levels(table: Tensor, colour: Tensor) -> Tensor:
    return table.index_select(0, colour.flatten().int()).view(colour.shape)
