"""How a frame becomes the square pictures that the model takes."""

from __future__ import annotations

import numpy as np
from PIL import Image

MODEL_SIZE = 336
LONGEST = 640
PAD_COLOUR = (123, 117, 104)  # CLIP's mean, so that the bars normalise to about zero


def apply_view(frame: np.ndarray, view: str, size: int) -> np.ndarray:
    """`frame` (H, W, 3) uint8 RGB as (windows, size, size, 3) uint8.

    `crop` is PLLaVA's own chain, bit for bit at 336: the processor's resize, CLIP's resize, CLIP's
    centre crop, all bicubic (source: magic-research/PLLaVA, processing_pllava.py, and Hugging
    Face's CLIPImageProcessor). `pad` shrinks the whole picture and adds bars. `wide` replaces the
    centre crop with two squares side by side along the long side.
    """
    picture = Image.fromarray(frame)
    if view == "pad":
        return _padded(picture, size)[None]
    pixels = np.asarray(_resized(_resized(picture, _processor_short(*picture.size, size)), size))
    return np.stack([pixels[y : y + size, x : x + size] for x, y in _corners(pixels, view, size)])


def coverage(width: int, height: int, view: str, size: int) -> float:
    """The fraction of the picture's area that `apply_view` keeps, 0 to 1."""
    windows = window_count(view)
    if view == "pad":
        return 1.0
    first = _scaled(width, height, _processor_short(width, height, size))
    return min(1.0, windows * size / max(_scaled(*first, size)))


def window_count(view: str) -> int:
    """How many square pictures `view` makes of a frame; ValueError if there is no such view."""
    windows = {"crop": 1, "pad": 1, "wide": 2}
    if view not in windows:
        raise ValueError(f"unknown view {view!r}; choose one of {', '.join(windows)}")
    return windows[view]


def _processor_short(width: int, height: int, size: int) -> int:
    short, long = sorted((width, height))
    longest = round(LONGEST * size / MODEL_SIZE)
    return max(size, min(short, int(min(longest, long) / (long / short))))


def _scaled(width: int, height: int, short: int) -> tuple[int, int]:
    if width <= height:
        return short, int(short * height / width)
    return int(short * width / height), short


def _resized(picture: Image.Image, short: int) -> Image.Image:
    return picture.resize(_scaled(*picture.size, short), Image.Resampling.BICUBIC)


def _corners(pixels: np.ndarray, view: str, size: int) -> list[tuple[int, int]]:
    height, width = pixels.shape[:2]
    if window_count(view) == 1:
        return [((width - size) // 2, (height - size) // 2)]
    # A picture longer than two squares loses its ends rather than its middle.
    first = max(0, (max(width, height) - 2 * size) // 2)
    offsets = (first, min(first + size, max(width, height) - size))
    return [(at, 0) if width >= height else (0, at) for at in offsets]


def _padded(picture: Image.Image, size: int) -> np.ndarray:
    scale = size / max(picture.size)
    fitted = tuple(max(1, round(side * scale)) for side in picture.size)
    square = Image.new("RGB", (size, size), PAD_COLOUR)
    corner = tuple((size - side) // 2 for side in fitted)
    square.paste(picture.resize(fitted, Image.Resampling.BICUBIC), corner)
    return np.asarray(square)
