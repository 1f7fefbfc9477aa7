from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from recap.video import apply_view, coverage
from recap.video.drawing import first_resize
from recap.video.view import first_size, scaled

GOLDEN = Path(__file__).parents[1] / "golden/frontend"
CASES = json.loads((GOLDEN / "preprocess.json").read_text())
MEAN = np.array((0.48145466, 0.4578275, 0.40821073), np.float32)
STD = np.array((0.26862954, 0.26130258, 0.27577711), np.float32)


def pattern(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    red, green = 127 + 120 * np.sin(x / 17 + y / 31), 255 * ((x // 23 + y // 19) % 2)
    return np.stack([red, green, 255 * x / (width - 1)], -1).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['height']}x{case['width']}")
def test_crop_equals_the_reference(case):
    frame = pattern(case["height"], case["width"])
    pictures = np.stack([apply_view(f, "crop", 336)[0] for f in (frame, frame[:, ::-1])])
    values = ((pictures.astype(np.float32) / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    golden = load_file(GOLDEN / "preprocess.safetensors")[f"{case['height']}x{case['width']}"]
    assert np.abs(values[:, :, ::8, ::8] - golden).max() < 1e-6
    assert values.mean() == pytest.approx(case["mean"], abs=1e-5)
    assert values.std() == pytest.approx(case["std"], abs=1e-5)


SIDES = (168, 224, 336, 337, 500, 512, 576, 640, 720, 960, 1000, 1080, 1280, 1440, 1600, 1920)
TALL = ((504, 1080, 336), (672, 1440, 336), (840, 1920, 336), (480, 1080, 128), (84, 135, 64))


def in_passes(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """All of it, across and then down, as Pillow did before it chose the order itself."""
    for target in ((size[0], picture.height), size):
        picture = picture.resize(target, Image.Resampling.BICUBIC)
    return picture


def plain_crop(frame: np.ndarray, size: int) -> np.ndarray:
    """The whole frame resized twice, and what the centre crop leaves of that."""
    picture = Image.fromarray(frame)
    picture = in_passes(picture, first_size(*picture.size, "crop", size))
    picture = in_passes(picture, scaled(*picture.size, size))
    left, top = ((side - size) // 2 for side in picture.size)
    return np.asarray(picture)[top : top + size, left : left + size]


def drawn(seed: int) -> list[tuple[int, int, int]]:
    chance = np.random.default_rng(seed)
    return [(*chance.choice(SIDES, 2).tolist(), int(chance.choice((336, 128, 64)))) for _ in range(5)]


@pytest.mark.parametrize("cases", [TALL, *map(drawn, range(6))])
def test_crop_resizes_a_part_as_it_resizes_the_whole(cases):
    for width, height, size in cases:
        frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        assert np.array_equal(apply_view(frame, "crop", size)[0], plain_crop(frame, size)), (width, height, size)


@pytest.mark.parametrize("width, height, spared", [(1920, 1080, True), (1080, 1920, True), (1366, 768, False)])
def test_crop_does_not_resize_what_it_cuts_off(width, height, spared):
    picture = np.asarray(first_resize(np.full((height, width, 3), 200, np.uint8), "crop", 336))
    assert (picture == 200).all() != spared
    assert (apply_view(np.full((height, width, 3), 200, np.uint8), "crop", 336) == 200).all()


def ramp(height: int, width: int) -> np.ndarray:
    """Red grows along the long side from 0 to 255."""
    line = np.linspace(0, 255, max(height, width)).astype(np.uint8)
    red = line[None, :] if width >= height else line[:, None]
    return np.stack([np.broadcast_to(red, (height, width))] * 3, -1)


@pytest.mark.parametrize("height, width", [(90, 160), (160, 90)])
@pytest.mark.parametrize("size", [336, 64])
def test_wide_shows_both_ends(height, width, size):
    first, second = apply_view(ramp(height, width), "wide", size)
    assert first.shape == second.shape == (size, size, 3)
    assert first.min() < 5 and second.max() > 250 and first.max() > second.min()
    assert coverage(width, height, "wide", size) == 1.0


def test_wide_keeps_the_middle_of_a_very_long_picture():
    first, second = apply_view(ramp(100, 400), "wide", 64)
    step = int(second[0, 0, 0]) - int(first[0, -1, 0])
    assert 0 <= step <= 3 and first.min() > 50 and second.max() < 205
    assert coverage(400, 100, "wide", 64) == 0.5


def test_wide_shows_a_square_picture_twice():
    first, second = apply_view(ramp(90, 90), "wide", 64)
    assert np.array_equal(first, second) and np.array_equal(first, apply_view(ramp(90, 90), "crop", 64)[0])
    assert coverage(90, 90, "wide", 64) == 1.0


def test_pad_keeps_the_whole_picture_between_bars():
    (picture,) = apply_view(ramp(90, 160), "pad", 64)
    assert (picture[:14] == (123, 117, 104)).all() and (picture[-14:] == (123, 117, 104)).all()
    assert picture[32, 0].max() < 5 and picture[32, -1].min() > 250
    assert coverage(160, 90, "pad", 64) == 1.0


def test_coverage_of_the_crop():
    assert coverage(1920, 1080, "crop", 336) == pytest.approx(336 / 597)
    assert coverage(1080, 1920, "crop", 336) == coverage(1920, 1080, "crop", 336)
    assert coverage(500, 500, "crop", 336) == 1.0


def test_an_unknown_view_is_named():
    with pytest.raises(ValueError, match="'tall'"):
        apply_view(ramp(10, 10), "tall", 336)
