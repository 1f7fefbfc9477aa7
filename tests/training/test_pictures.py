from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from recap.training.dataset import _upright

SIDEWAYS = 6  # the EXIF orientation of a camera that was held upright


def test_a_picture_is_turned_as_it_says(tmp_path):
    about = Image.Exif()
    about[0x0112] = SIDEWAYS
    Image.new("RGB", (80, 40)).save(tmp_path / "a.jpg", exif=about)
    assert _upright(Image.open(tmp_path / "a.jpg")).size == (40, 80)


@pytest.mark.parametrize("ending", ("png", "tif"))
def test_sixteen_bits_of_grey_become_eight(tmp_path, ending):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / f"a.{ending}")
    shown = np.asarray(_upright(Image.open(tmp_path / f"a.{ending}")))
    assert np.array_equal(shown, np.arange(256).reshape(16, 16, 1).repeat(3, axis=2))
