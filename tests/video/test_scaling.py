"""Frames that the decoder shrinks, beside those of the exact chain."""

from __future__ import annotations

import av
import numpy as np
import pytest
from PIL import Image

from recap.records import FrameRequest
from recap.video import frame_indices
from recap.video.probe import inspect
from recap.video.pyav_decoder import PyavDecoder
from recap.video.scaling import Scaling, decoder_scaling
from recap.video.upright import upright_pixels

from .make_clips import encode, index_of, turn


def psnr_db(first: np.ndarray, second: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(np.square(first.astype(float) - second).mean(), 1e-9))


@pytest.fixture
def both(read, home):
    """A real clip read exactly and fast."""

    def both_(name, **how):
        path = home / "pipelines/demo/clips" / name
        return [read(path, decoder=decoder, **{"size": 336, "count": 4, **how}) for decoder in ("exact", "fast")]

    return both_


@pytest.mark.parametrize(
    "name, how",
    [
        ("cockatoo.mp4", {}),
        ("cockatoo.mp4", {"view": "pad", "start_s": 1.0, "end_s": 3.0}),
        ("phone-vfr-1080p.mp4", {}),
        ("phone-vfr-1080p.mp4", {"view": "wide"}),
        ("phone-vfr-1080p.mp4", {"count": 12, "tiles": (2, 3)}),
        ("realshort.mp4", {"size": 112}),
        ("realshort.mp4", {"count": 12, "tiles": (3, 2), "view": "pad"}),
        ("realshort.mp4", {"count": 5, "tiles": (5, 1), "view": "pad"}),
    ],
)
def test_fast_is_close_to_exact(both, name, how):
    exact, fast = both(name, **how)
    assert (exact.decoder, fast.decoder) == ("pyav-sparse", "pyav-sparse-fast")
    assert fast.pixels.shape == exact.pixels.shape and fast.times_s == exact.times_s
    assert (fast.coverage, fast.flags) == (exact.coverage, exact.flags)
    assert min(map(psnr_db, fast.pixels, exact.pixels)) > 30
    assert (fast.width, fast.height) == (exact.width, exact.height)


def test_a_small_clip_is_not_enlarged_by_the_decoder(both):
    exact, fast = both("realshort.mp4")
    assert fast.decoder == "pyav-sparse" and np.array_equal(fast.pixels, exact.pixels)


@pytest.mark.parametrize(
    ("name", "decoder"),
    [
        ("h264.mp4", "pyav-sparse-fast"),
        ("av1.mp4", "pyav-sparse-fast"),
        ("mjpeg.mov", "pyav-sparse-fast"),
        ("mpeg2.mpg", "pyav-fast"),
    ],
)
def test_the_right_frames_from_either_decoder(read, name, decoder):
    frames = read(name, size=48, decoder="fast")
    assert frames.decoder == decoder
    assert [index_of(picture) for picture in frames.pixels] == frame_indices(40, 16)


@pytest.mark.parametrize("clockwise", [1, 2, 3])
def test_phones_held_sideways(read, tmp_path, clockwise):
    path = turn(encode(tmp_path / "phone.mp4", quarter_turns=clockwise), clockwise)
    frames = read(path, size=48, decoder="fast")
    assert frames.decoder == "pyav-sparse-fast" and (frames.width, frames.height) == (128, 96)
    assert [index_of(picture) for picture in frames.pixels] == frame_indices(40, 16)


@pytest.mark.parametrize("pix_fmt, least_db, most_db", [("yuv420p", 20, 30), ("yuv444p", 45, 70)])
def test_what_fast_costs_where_colours_meet_in_upright_edges(tmp_path, pix_fmt, least_db, most_db):
    """The decoders scale colour at half the output's width, so that these edges blur; grey ones do not."""
    path = encode(tmp_path / "sideways.mp4", quarter_turns=1, pix_fmt=pix_fmt)
    _, timeline = inspect(str(path))
    (_, whole), (_, shrunk) = (next(PyavDecoder(str(path), timeline, to).frames([21])) for to in (None, (36, 48)))
    picture = Image.fromarray(whole).resize((36, 48), Image.Resampling.BICUBIC)
    assert least_db < psnr_db(np.asarray(picture), shrunk) < most_db


@pytest.mark.parametrize("width", [48, 96, 144, 146])
def test_narrow_clips_need_no_second_attempt(tmp_path, read, width):
    path = tmp_path / "narrow.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, 176, "yuv420p"
        for level in range(0, 250, 10):
            picture = np.full((176, width, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    for decoder in ("exact", "fast"):
        frames = read(path, size=32, decoder=decoder, fallback=False)
        levels = [10 * index for index in frame_indices(25, 16)]
        assert frames.pixels.mean(axis=(1, 2, 3)) == pytest.approx(levels, abs=5)
        assert frames.decoder.startswith("pyav")


@pytest.mark.parametrize(
    "width, height, view, tiles, expected",
    [
        (1920, 1080, "crop", (1, 1), Scaling((640, 360), (640, 360))),
        (1080, 1920, "wide", (1, 1), Scaling((360, 640), (360, 640))),
        (1920, 1080, "pad", (1, 1), Scaling((336, 189), (336, 189))),
        (1920, 1080, "pad", (5, 1), Scaling((128, 38), (336, 38))),
        (320, 240, "crop", (1, 1), None),
        (640, 360, "crop", (1, 1), None),
    ],
)
def test_what_the_decoder_is_asked_for(width, height, view, tiles, expected):
    assert decoder_scaling(width, height, FrameRequest(view=view, tiles=tiles)) == expected


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
def test_fields_are_not_shrunk_one_by_one(tmp_path, pix_fmt):
    options = {"preset": "ultrafast", "x264-params": "interlaced=1:log-level=error"}
    with av.open(str(encode(tmp_path / "clip.mov", 2, pix_fmt=pix_fmt, options=options))) as container:
        marked = next(container.decode(video=0))
    assert marked.interlaced_frame
    unmarked = av.VideoFrame.from_ndarray(marked.to_ndarray(), marked.format.name)
    unmarked.colorspace, unmarked.color_range = marked.colorspace, marked.color_range
    assert np.array_equal(upright_pixels(marked, (64, 44)), upright_pixels(unmarked, (64, 44)))
