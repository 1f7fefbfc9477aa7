"""Frames to pixel values in one call, for users who bring their own decoder."""

from __future__ import annotations

import numpy as np

from recap.pllava import normalise
from recap.video import apply_view


def preprocess(frames: np.ndarray, view: str = "crop", size: int = 336):
    """What PLLaVA sees of `frames` (frames, H, W, 3) uint8 RGB.

    Returns float32 `(windows·frames, 3, size, size)`, window-major, with CLIP's mean and standard
    deviation taken off: `video`'s exact view, then `pllava`'s normalisation. Raises ValueError for frames
    of another shape or type, for none, and for a `size` below 1.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"frames must be (frames, H, W, 3) uint8 RGB, not {frames.shape} {frames.dtype}")
    if not frames.size or size < 1:
        raise ValueError(f"there is nothing to see in frames of shape {frames.shape} at a size of {size}")
    windows = np.stack([apply_view(frame, view, size) for frame in frames], axis=1)
    return normalise(windows.reshape(-1, size, size, 3))
