from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

import recap


def frame(height: int, width: int) -> np.ndarray:
    """The picture that the golden values were computed from."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    red = 127 + 120 * np.sin(x / 17 + y / 31)
    green = 255 * ((x // 23 + y // 19) % 2)
    return np.clip(np.stack([red, green, 255 * x / (width - 1)], -1), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def golden(home):
    folder = home / "tests/golden/frontend"
    return load_file(folder / "preprocess.safetensors"), json.loads((folder / "preprocess.json").read_text())


@pytest.mark.parametrize("case", range(6))
def test_preprocess_is_the_references(golden, case):
    samples, whole = golden
    height, width = whole[case]["height"], whole[case]["width"]
    picture = frame(height, width)
    pixels = recap.preprocess(np.stack([picture, picture[:, ::-1]])).numpy()
    assert pixels.shape == (2, 3, 336, 336) and pixels.dtype == np.float32
    np.testing.assert_allclose(pixels[:, :, ::8, ::8], samples[f"{height}x{width}"], atol=1e-6, rtol=0)
    assert pixels.mean() == pytest.approx(whole[case]["mean"], abs=1e-5)


def test_two_windows_come_window_by_window():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, 100:] = 255
    pixels = recap.preprocess(np.stack([picture] * 3), view="wide", size=50)
    assert pixels.shape == (6, 3, 50, 50)
    assert pixels[:3].mean() < pixels[3:].mean()


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((90, 160, 3), np.uint8),
        np.zeros((2, 3, 90, 160), np.uint8),
        np.zeros((2, 90, 160, 3), np.float32),
        np.zeros((2, 90, 160, 4), np.uint8),
    ],
)
def test_other_frames_are_refused(frames):
    with pytest.raises(ValueError, match=r"frames must be \(frames, H, W, 3\) uint8 RGB, not \("):
        recap.preprocess(frames)


@pytest.mark.parametrize(("shape", "size"), [((0, 90, 160, 3), 8), ((2, 0, 4, 3), 8), ((2, 90, 160, 3), 0)])
def test_there_must_be_something_to_see(shape, size):
    with pytest.raises(ValueError, match="nothing to see in frames of shape"):
        recap.preprocess(np.zeros(shape, np.uint8), size=size)
