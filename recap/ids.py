"""Clip ids as the sixteen bytes that their digits spell: many of them are held and compared as those."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

WIDTH = 16
_STEP = 65_536


def packed(clip_ids: pa.ChunkedArray) -> np.ndarray:
    """`(clips,)` S16 of ids of 32 hex digits each."""
    ids = np.empty(len(clip_ids), f"S{WIDTH}")
    for start in range(0, len(ids), _STEP):
        some = clip_ids[start : start + _STEP].to_pylist()
        ids[start : start + _STEP] = np.frombuffer(bytes.fromhex("".join(some)), ids.dtype)
    return ids


def spelt(ids: np.ndarray) -> list[str]:
    """The digits of packed ids."""
    digits = ids.tobytes().hex()
    return [digits[start : start + 2 * WIDTH] for start in range(0, len(digits), 2 * WIDTH)]
