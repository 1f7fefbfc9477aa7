from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from recap.training.dataset import _upright


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_it_says(tmp_path, orientation):
    about = Image.Exif()
    about[0x0112] = orientation
    pixels = np.random.default_rng(orientation).integers(0, 255, (4, 8, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=about)
    picture = Image.open(tmp_path / "a.png")
    assert np.array_equal(_upright(picture), ImageOps.exif_transpose(picture))


def test_a_picture_of_which_odd_things_are_said_is_shown_all_the_same(tmp_path):
    turned, resolution = struct.pack("<HHII", 0x0112, 3, 1, 6), struct.pack("<HHI4s", 0x011A, 2, 4, b"abc")
    about = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + turned + resolution + bytes(4)
    Image.new("RGB", (80, 40)).save(tmp_path / "a.jpg", exif=about)
    with pytest.raises(TypeError):
        ImageOps.exif_transpose(Image.open(tmp_path / "a.jpg"))
    assert _upright(Image.open(tmp_path / "a.jpg")).size == (40, 80)


def test_eight_bits_of_grey_in_thirty_two_stay(tmp_path):
    Image.fromarray(np.full((4, 4), 200, np.int32)).save(tmp_path / "a.tif")
    assert np.asarray(_upright(Image.open(tmp_path / "a.tif"))).max() == 200


@pytest.mark.parametrize("ending", ("png", "tif"))
def test_sixteen_bits_of_grey_become_eight(tmp_path, ending):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / f"a.{ending}")
    shown = np.asarray(_upright(Image.open(tmp_path / f"a.{ending}")))
    assert np.array_equal(shown, np.arange(256).reshape(16, 16, 1).repeat(3, axis=2))
