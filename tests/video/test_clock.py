"""Files whose clock cannot be one."""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np
import pytest

from recap.video import frame_indices

from .make_clips import encode, index_of


def test_an_avi_that_says_a_frame_stays_a_week(read, tmp_path):
    data = bytearray(encode(tmp_path / "clip.avi", 20, codec="mpeg4").read_bytes())
    struct.pack_into("<II", data, data.index(b"strh") + 28, 600_000, 1)  # ticks to a frame, ticks to a second
    (tmp_path / "clip.avi").write_bytes(data)
    frames = read(tmp_path / "clip.avi")
    assert [index_of(picture) for picture in frames.pixels] == frame_indices(20, 16)
    assert frames.times_s[-1] == frame_indices(20, 16)[-1] * 600_000


def test_frames_are_counted_where_one_says_a_time_that_none_can_have(read, tmp_path):
    data = bytearray(encode(tmp_path / "clip.ivf", 20, codec="libvpx-vp9").read_bytes())
    second = 32 + 12 + struct.unpack_from("<I", data, 32)[0]
    struct.pack_into("<q", data, second + 4, -(2**62))
    last = data.rindex(struct.pack("<q", 19))
    struct.pack_into("<q", data, last, 2**62)
    (tmp_path / "clip.ivf").write_bytes(data)
    frames = read(tmp_path / "clip.ivf")
    assert [index_of(picture) for picture in frames.pixels] == frame_indices(20, 16)
    assert np.allclose(frames.times_s, np.array(frame_indices(20, 16)) / 25) and frames.duration_s == 0.8


@pytest.mark.parametrize(("codec", "ending"), [("libx264", "h264"), ("libx265", "hevc")])
def test_a_raw_stream_comes_at_the_rate_that_it_states(read, tmp_path, codec, ending):
    frames = read(encode(tmp_path / f"clip.{ending}", 20, codec=codec, rate=10), count=4)
    shown = frame_indices(20, 4)
    assert [index_of(picture) for picture in frames.pixels] == shown
    assert frames.times_s == tuple(index / 10 for index in shown)
    assert (frames.fps, frames.duration_s, frames.flags) == (10.0, 2.0, ())


def test_and_at_25_where_it_states_the_ticks_of_a_clock(read, tmp_path):
    path = encode(tmp_path / "clip.h264", 20, time_base=Fraction(1, 90000), pts=lambda index: 3600 * index)
    frames = read(path)
    assert (frames.fps, frames.duration_s) == (25.0, 0.8)


def x264(structure: str) -> dict[str, str]:
    return {"preset": "ultrafast", "x264-params": f"{structure}:log-level=error"}


@pytest.mark.parametrize(
    ("codec", "options"),
    [("libx264", x264("bframes=3:b-adapt=0")), ("libx264", x264("bframes=2:interlaced=1")), ("mpeg4", {"bf": "2"})],
)
def test_a_frame_in_asf_has_a_time_of_its_own(read, tmp_path, codec, options):
    rate, shown = Fraction(30000, 1001), frame_indices(40, 16)
    frames = read(encode(tmp_path / "clip.wmv", 40, codec=codec, options=options, rate=rate))
    assert [index_of(picture) for picture in frames.pixels] == shown and frames.flags == ()
    assert frames.times_s == pytest.approx([index / float(rate) for index in shown], abs=2e-3)
