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


def says(path):
    """The transfer curve, and the shape of a pixel, that a file names."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).color_trc, container.streams.video[0].sample_aspect_ratio


@pytest.mark.parametrize("decoder", ["exact", "fast"])
@pytest.mark.parametrize("named", ["transfer=smpte2084", "transfer=arib-std-b67", "sar=4/3"])
def test_hdr_is_not_tone_mapped_nor_is_an_anamorphic_picture_stretched(read, tmp_path, named, decoder):
    paths = tmp_path / "plain.mp4", tmp_path / "named.mp4"
    for path, more in zip(paths, ("", f":{named}"), strict=True):
        encode(path, 20, options={"preset": "ultrafast", "x264-params": f"colormatrix=bt2020nc:log-level=error{more}"})
    plain, other = (read(path, size=48, decoder=decoder) for path in paths)
    assert says(paths[0]) != says(paths[1])
    assert plain.flags == () and other.flags == (("hdr",) if "transfer" in named else ())
    assert np.array_equal(other.pixels, plain.pixels) and other.width / other.height == plain.width / plain.height
