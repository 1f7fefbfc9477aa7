"""How a frame becomes the square pictures that the model takes."""

from __future__ import annotations

import numpy as np
from PIL import Image

from recap.records import WINDOWS

MODEL_SIZE = 336
LONGEST = 640
PAD_COLOUR = (123, 117, 104)  # CLIP's mean, so that the bars normalise to about zero


def apply_view(frame: np.ndarray, view: str, size: int) -> np.ndarray:
    """`frame` (H, W, 3) uint8 RGB as (windows, size, size, 3) uint8.

    `crop` is PLLaVA's own chain, bit for bit at 336: the processor's resize, CLIP's resize, CLIP's
    centre crop, all bicubic (source: magic-research/PLLaVA, processing_pllava.py, and Hugging
    Face's CLIPImageProcessor). `pad` shrinks the whole picture and adds bars. `wide` replaces the
    centre crop with two squares at the ends of the long side: they meet in a 2:1 picture, overlap in
    a shorter one, and are the same in a square one.
    """
    return draw_view(Image.fromarray(frame), view, size)


def draw_view(picture: Image.Image, view: str, size: int, first: tuple[int, int] | None = None) -> np.ndarray:
    """`apply_view` of an RGB picture. `first` is what the first resize makes of the picture as filmed,
    for one that was shrunk before; a picture of just that size is not resized again.
    """
    picture = picture.resize(first or first_size(*picture.size, view, size), Image.Resampling.BICUBIC)
    if view == "pad":
        return _barred(picture, size)[None]
    pixels = np.asarray(picture.resize(_scaled(*picture.size, size), Image.Resampling.BICUBIC))
    return np.stack([pixels[y : y + size, x : x + size] for x, y in _corners(pixels, view, size)])


def first_size(width: int, height: int, view: str, size: int) -> tuple[int, int]:
    """(width, height) after the first resize of `view`; `pad` has no other."""
    if view == "pad":
        scale = size / max(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))
    return _scaled(width, height, _processor_short(width, height, size))


def coverage(width: int, height: int, view: str, size: int) -> float:
    """The fraction of the picture's area that `apply_view` keeps, 0 to 1."""
    windows = window_count(view)
    if view == "pad":
        return 1.0
    longest = max(_scaled(*first_size(width, height, view, size), size))
    return min(1.0, windows * size / longest)


def window_count(view: str) -> int:
    """How many square pictures `view` makes of a frame; ValueError if there is no such view."""
    if view not in WINDOWS:
        raise ValueError(f"unknown view {view!r}; choose one of {', '.join(WINDOWS)}")
    return WINDOWS[view]


def _processor_short(width: int, height: int, size: int) -> int:
    short, long = sorted((width, height))
    longest = round(LONGEST * size / MODEL_SIZE)
    return max(size, min(short, int(min(longest, long) / (long / short))))


def _scaled(width: int, height: int, short: int) -> tuple[int, int]:
    if width <= height:
        return short, int(short * height / width)
    return int(short * width / height), short


def _corners(pixels: np.ndarray, view: str, size: int) -> list[tuple[int, int]]:
    height, width = pixels.shape[:2]
    if window_count(view) == 1:
        return [((width - size) // 2, (height - size) // 2)]
    # A picture longer than two squares loses its ends rather than its middle.
    first = max(0, (max(width, height) - 2 * size) // 2)
    offsets = (first, min(first + size, max(width, height) - size))
    return [(at, 0) if width >= height else (0, at) for at in offsets]


def _barred(picture: Image.Image, size: int) -> np.ndarray:
    square = Image.new("RGB", (size, size), PAD_COLOUR)
    square.paste(picture, ((size - picture.width) // 2, (size - picture.height) // 2))
    return np.asarray(square)
