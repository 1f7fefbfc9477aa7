from __future__ import annotations

import numpy as np
import pytest
import torch

from recap.pllava import normalise


def test_levels_scaled_then_standardised():
    frames = np.zeros((2, 4, 5, 3), np.uint8)
    frames[1] = (255, 128, 3)
    pixels = normalise(frames)
    assert pixels.shape == (2, 3, 4, 5)
    assert pixels.dtype == torch.float32
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    np.testing.assert_allclose(pixels[0, :, 0, 0], -mean / std, rtol=1e-6)
    np.testing.assert_allclose(pixels[1, :, 3, 4], (np.array([255, 128, 3]) / 255 - mean) / std, rtol=1e-6)


@pytest.mark.parametrize(
    "frames", [np.zeros((2, 4, 5, 3)), np.zeros((4, 5, 3), np.uint8), np.zeros((2, 3, 4, 5), np.uint8)]
)
def test_anything_but_uint8_frames_is_refused(frames):
    with pytest.raises(ValueError, match="must be uint8"):
        normalise(frames)
