"""Files whose clock cannot be one."""

from __future__ import annotations

import struct

import numpy as np

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
