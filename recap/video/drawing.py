"""How a frame becomes the square pictures that the model takes."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from PIL import Image

from recap.video.view import first_size, scaled, window_count

Box = tuple[int, int, int, int]  # left, top, right, bottom
PAD_COLOUR = (123, 117, 104)  # CLIP's mean, so that the bars normalise to about zero
_REACH = 2  # how far Pillow's bicubic weights reach, in pixels of the smaller picture


def apply_view(frame: np.ndarray, view: str, size: int) -> np.ndarray:
    """`frame` (H, W, 3) uint8 RGB as (windows, size, size, 3) uint8.

    `crop` is PLLaVA's own chain, bit for bit at 336: the processor's resize, CLIP's resize, CLIP's
    centre crop, all bicubic (source: magic-research/PLLaVA, processing_pllava.py, and Hugging
    Face's CLIPImageProcessor). `pad` shrinks the whole picture and adds bars. `wide` replaces the
    centre crop with two squares at the ends of the long side: they meet in a 2:1 picture, overlap in
    a shorter one, and are the same in a square one.
    """
    return draw_view(first_resize(frame, view, size), view, size)


def draw_view(picture: Image.Image, view: str, size: int) -> np.ndarray:
    """What `apply_view` goes on with after the first resize."""
    if view == "pad":
        return _barred(picture, size)[None]
    width, height = scaled(*picture.size, size)
    corners = _corners(width, height, view, size)
    start, end = min(x for x, _ in corners), max(x for x, _ in corners) + size
    shown = _wide(picture, width).crop((start, 0, end, picture.height))
    pixels = np.asarray(_high(shown, height))
    return np.stack([pixels[y : y + size, x - start : x - start + size] for x, y in corners])


def first_resize(frame: np.ndarray, view: str, size: int) -> Image.Image:
    """`frame` (H, W, 3) uint8 RGB after the first resize of `view`; what `crop` will cut off may be black."""
    height, width = frame.shape[:2]
    target = first_size(width, height, view, size)
    if view != "crop":
        return resized(Image.fromarray(frame), target)
    across, down = map(_side, (width, height), target, scaled(*target, size), (size, size))
    part = Image.fromarray(frame[down.weighed, across.weighed])
    box = across.box[0], down.box[0], across.box[1], down.box[1]
    picture = Image.new("RGB", target)
    picture.paste(resized(part, (across.pixels, down.pixels), box), (across.start, down.start))
    return picture


def resized(picture: Image.Image, size: tuple[int, int], box: Box | None = None) -> Image.Image:
    """`picture`, or the `box` of it, in another size, bicubic; one of just that size stays as it is.

    Across, then down: the order of both passes shows in the last bits, and from Pillow 13 on depends on the sides.
    """
    left, top, right, bottom = box or (0, 0, *picture.size)
    return _high(_wide(picture, size[0], (left, right)), size[1], (top, bottom))


def _wide(picture: Image.Image, width: int, part: tuple[int, int] | None = None) -> Image.Image:
    left, right = part or (0, picture.width)
    return picture.resize((width, picture.height), Image.Resampling.BICUBIC, (left, 0, right, picture.height))


def _high(picture: Image.Image, height: int, part: tuple[int, int] | None = None) -> Image.Image:
    top, bottom = part or (0, picture.height)
    return picture.resize((picture.width, height), Image.Resampling.BICUBIC, (0, top, picture.width, bottom))


class _Side(NamedTuple):
    """`pixels` from `start` on after a resize, what is `weighed` for them, and the `box` in that which they show."""

    start: int
    pixels: int
    box: tuple[int, int]
    weighed: slice


@lru_cache(maxsize=64)  # all frames of a clip ask the same
def _side(length: int, first: int, second: int, size: int) -> _Side:
    """What a centre crop to `size` shows of a side that is `length` long, then `first`, then `second`."""
    shrink = Fraction(length, first)
    start, end = _shown(first, second, size, shrink.denominator) if _binary(shrink) else (0, first)
    begin, stop = int(start * shrink), int(end * shrink)
    reach = ceil(_REACH * max(1, shrink)) + 1
    weighed = slice(max(0, begin - reach), min(length, stop + reach))
    return _Side(start, end - start, (begin - weighed.start, stop - weighed.start), weighed)


def _binary(number: Fraction) -> bool:
    """Whether floating point holds all of its multiples: else the rounding of a part may not be that of the whole."""
    return number.denominator & (number.denominator - 1) == 0


def _shown(first: int, second: int, size: int, step: int) -> tuple[int, int]:
    """From where to where the second resize looks for what is not cut off, in whole steps."""
    shrink = Fraction(first, second)
    offset, reach = (second - size) // 2, _REACH * max(1, shrink) + 1
    start, end = floor((offset * shrink - reach) / step), ceil(((offset + size) * shrink + reach) / step)
    return max(0, start * step), min(first, end * step)


def _corners(width: int, height: int, view: str, size: int) -> list[tuple[int, int]]:
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
