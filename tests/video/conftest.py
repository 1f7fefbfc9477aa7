"""Clips are encoded once for all tests of the room."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest

from recap.records import ClipError, FrameRequest
from recap.video import DecodeSettings, InProcessReader

from .make_clips import cut, damage, encode, encode_audio, remux

os.environ.setdefault("SVT_LOG", "1")
GROWING = {"pts": lambda index: index * index * 10 + index * 200, "time_base": Fraction(1, 10000)}
PLAIN = {
    "h264.mp4": {},
    "hevc-10-bit.mp4": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "av1.mp4": {"codec": "libsvtav1"},
    "stream.ts": {},
    "yuv444p.mp4": {"pix_fmt": "yuv444p"},
    "h264.mkv": {},
    "h264.flv": {},
    "h264.avi": {},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "mpeg2.mkv": {"codec": "mpeg2video", "options": {"bf": "2", "g": "12"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2", "g": "12"}},
    "mjpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "gif.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "raw.h264": {},
    "fragmented.mp4": {"muxing": {"movflags": "frag_keyframe+empty_moov"}},
    "variable.mp4": GROWING,
    "long.mp4": {"frames": 200, "muxing": {"movflags": "faststart"}},
    "long.mkv": {"frames": 200},
    "long.flv": {"frames": 200},
    "long.avi": {"frames": 200},
    "one.mp4": {"frames": 1},
    "six.mp4": {"frames": 6},
}


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, how in PLAIN.items():
        encode(folder / name, **how)
    encode_audio(folder / "sound.mp4")
    for ending in ("mp4", "avi", "mkv", "flv"):
        cut(folder / f"long.{ending}", folder / f"truncated.{ending}", 0.5)
    damage(folder / "long.mp4", folder / "damaged.mp4")
    remux(folder / "long.mp4", folder / "edit-list.mp4", shift_s=1.02)
    return folder


@pytest.fixture
def read(clips):
    """Read a clip by name, with the settings given."""

    def read_(name, view="crop", count=16, size=96, tiles=(1, 1), start_s=None, end_s=None, **settings):
        reader = InProcessReader(DecodeSettings(**settings))
        request = FrameRequest(count=count, size=size, view=view, tiles=tiles)
        return reader.read(str(clips / name), request, start_s=start_s, end_s=end_s)

    return read_


@pytest.fixture
def refusal(read):
    """The ClipError that reading a clip raises."""

    def refusal_(name, **how) -> ClipError:
        with pytest.raises(ClipError) as caught:
            read(name, **how)
        return caught.value

    return refusal_
