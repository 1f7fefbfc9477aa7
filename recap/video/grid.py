"""Several moments in one picture."""

from __future__ import annotations

from math import sqrt

import numpy as np
from PIL import Image

from recap.video.drawing import resized

# A fixed number and no share of the memory, which must not change pixels. Six frames of 1080p fit.
GRID_PIXELS = 2**24


def tile_of(frame: np.ndarray, tiles: tuple[int, int]) -> Image.Image:
    """`frame` (H, W, 3) uint8 as it waits for its grid of `tiles` (columns, rows).

    At full size, unless so many of them make more than `GRID_PIXELS`: then shrunk to its share.
    """
    picture = Image.fromarray(frame)
    cells = tiles[0] * tiles[1]
    shrink = sqrt(GRID_PIXELS / (cells * picture.width * picture.height))
    if shrink >= 1:
        return picture
    share = max(1, int(picture.width * shrink)), max(1, int(picture.height * shrink))
    return resized(picture, share)


def grid_of(pictures: list[Image.Image], tiles: tuple[int, int]) -> Image.Image:
    """One picture of columns·rows `pictures`, row by row, without gaps.

    All take the smallest width and height among them. Source: the image grid of IG-VLM.
    """
    columns, rows = tiles
    assert len(pictures) == columns * rows
    width, height = min(p.width for p in pictures), min(p.height for p in pictures)
    grid = Image.new("RGB", (columns * width, rows * height))
    for place, picture in enumerate(pictures):
        tile = resized(picture, (width, height))
        grid.paste(tile, (place % columns * width, place // columns * height))
    return grid
