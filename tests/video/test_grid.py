"""Several moments in one picture."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from PIL import Image

from recap.records import FrameRequest
from recap.video import frame_indices, pictures
from recap.video.grid import GRID_PIXELS, grid_of, tile_of

from .make_clips import HEIGHT, WIDTH, frame_of, index_of

GRID = {"view": "pad", "size": 3 * HEIGHT, "tiles": (2, 3)}  # 2 by 3 frames fit in at their own size
SIX = {"count": 12, **GRID}


def cells(picture: np.ndarray) -> list[int]:
    """The indices that the frames in a picture of GRID say, row by row."""
    left = (3 * HEIGHT - 2 * WIDTH) // 2 + (WIDTH - HEIGHT) // 2
    corners = [(row * HEIGHT, left + column * WIDTH) for row in range(3) for column in range(2)]
    return [index_of(picture[y : y + HEIGHT, x : x + HEIGHT]) for y, x in corners]


@pytest.mark.parametrize("name, total", [("h264.mp4", 40), ("mpeg2.mpg", 40), ("six.mp4", 6), ("one.mp4", 1)])
def test_moments_run_row_by_row(read, name, total):
    frames = read(name, **SIX)
    assert frames.pixels.shape == (2, 288, 288, 3) and len(frames.times_s) == 12
    assert cells(frames.pixels[0]) + cells(frames.pixels[1]) == frame_indices(total, 12)
    assert frames.coverage == 1.0 and ("repeated_frames" in frames.flags) == (total < 12)


def test_small_batches_change_nothing(read):
    small = read("h264.mp4", memory_gb=32 * 3 * 3 * WIDTH * HEIGHT / 2**30, **SIX)
    assert np.array_equal(small.pixels, read("h264.mp4", **SIX).pixels)


def test_the_view_is_of_the_grid(read):
    wide = read("h264.mp4", count=12, view="wide", tiles=(2, 3))
    assert wide.pixels.shape == (4, 96, 96, 3) and wide.coverage == 1.0
    assert not np.array_equal(wide.pixels[0], wide.pixels[2])
    crop = read("h264.mp4", count=12, tiles=(2, 3))
    assert crop.coverage == pytest.approx(2 * WIDTH / (3 * HEIGHT), abs=0.01)
    assert read("h264.mp4", count=12, tiles=(6, 1)).coverage == pytest.approx(1 / 8, abs=0.01)


def test_moments_must_fill_the_grids(read):
    with pytest.raises(AssertionError, match="empty tiles"):
        read("h264.mp4", count=16, tiles=(2, 3))


@pytest.mark.parametrize(
    "width, height, tiles, expected",
    [
        (1920, 1080, (2, 3), (1920, 1080)),
        (3840, 2160, (2, 3), (2229, 1254)),
        (2160, 3840, (2, 3), (1254, 2229)),
        (1920, 1080, (4, 4), (1365, 768)),
    ],
)
def test_only_tiles_of_a_huge_grid_are_shrunk(width, height, tiles, expected):
    tile = tile_of(np.zeros((height, width, 3), np.uint8), tiles)
    assert tile.size == expected
    assert tile.width * tile.height * tiles[0] * tiles[1] <= GRID_PIXELS


def test_tiles_take_the_smallest_size_among_them():
    grid = grid_of([Image.new("RGB", size, "red") for size in ((8, 6), (4, 8))], (1, 2))
    assert grid.size == (4, 12) and (np.asarray(grid) == (255, 0, 0)).all()


def test_no_more_frames_are_held_than_a_grid_needs(monkeypatch):
    alive = weakref.WeakValueDictionary()

    def watched(frame, tiles):
        tile = tile_of(frame, tiles)
        alive[id(tile)] = tile
        return tile

    def shots():
        for index in range(24):
            assert len(alive) <= 6
            yield float(index), frame_of(index)

    monkeypatch.setattr("recap.video.pictures.tile_of", watched)
    taken = pictures.Pictures(range(24), FrameRequest(count=24, **GRID))
    assert taken.take(shots()) == list(range(24))
    assert [cells(picture) for picture in taken.pixels] == np.arange(24).reshape(4, 6).tolist()
