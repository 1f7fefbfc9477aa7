"""Pictures by the colours that their files say they have."""

from __future__ import annotations

import av
import numpy as np
import pytest

from recap.records import ClipError
from recap.video import frame_indices
from recap.video.upright import upright_pixels

from .make_clips import encode, frame_of, index_of


@pytest.mark.parametrize(
    ("matrix", "instead"), [("bt2020c", "bt2020nc"), ("YCgCo", "undef"), ("ICtCp", "undef"), ("smpte2085", "undef")]
)
@pytest.mark.parametrize("decoder", ["exact", "fast"])
def test_a_matrix_that_ffmpeg_refuses_is_read_as_another(read, tmp_path, matrix, instead, decoder):
    def read_as(name: str):
        options = {"preset": "ultrafast", "x264-params": f"colormatrix={name}:log-level=error"}
        return read(encode(tmp_path / f"{name}.mp4", 20, options=options), size=48, decoder=decoder)

    frames = read_as(matrix)
    assert [index_of(picture) for picture in frames.pixels] == frame_indices(20, 16) and frames.flags == ()
    assert np.array_equal(frames.pixels, read_as(instead).pixels)


def test_what_cannot_become_rgb_is_refused_in_plain_words():
    frame = av.VideoFrame.from_ndarray(frame_of(0), "rgb24").reformat(format="yuv420p")
    frame.color_range = 3  # there are three, from 0
    with pytest.raises(ClipError, match="cannot turn the video's pixels into RGB"):
        upright_pixels(frame, None)
