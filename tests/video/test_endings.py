"""The endings by which a folder's videos are known, tried on the decoders."""

from __future__ import annotations

import pytest

from recap.corpus.endings import REFUSED, VIDEOS
from recap.records import ClipError, FrameRequest
from recap.video import DecodeSettings, InProcessReader

from .make_clips import encode

MPEG2, MPEG4, HEVC = {"codec": "mpeg2video"}, {"codec": "mpeg4"}, {"codec": "libx265"}
READ = [
    *((ending, "h264", {}) for ending in (".264", ".h264")),
    *((ending, "hevc", HEVC) for ending in (".265", ".h265", ".hevc")),
    (".3g2", "3g2", MPEG4),
    (".asf", "asf", MPEG4),
    (".divx", "avi", MPEG4),
    (".f4v", "f4v", {}),
    (".ivf", "ivf", {"codec": "libvpx-vp9"}),
    (".m2t", "ts", MPEG2),
    (".mk3d", "mkv", {}),
    (".mpe", "mpg", {"codec": "mpeg1video"}),
    (".qt", "mov", {}),
    (".tod", "ts", MPEG2),
    (".vob", "vob", MPEG2),
]


def read(path):
    return InProcessReader(DecodeSettings()).read(str(path), FrameRequest(count=4, size=96), start_s=None, end_s=None)


def made(folder, ending, writer, how):
    return encode(folder / f"clip.{writer}", **how).rename(folder / f"clip{ending}")


@pytest.mark.parametrize(("ending", "writer", "how"), READ, ids=[ending for ending, *_ in READ])
def test_files_with_a_videos_ending_are_read(tmp_path, ending, writer, how):
    assert ending in VIDEOS
    assert read(made(tmp_path, ending, writer, how)).duration_s == pytest.approx(1.6, abs=0.05)


@pytest.mark.parametrize(
    ("ending", "how"),
    [(".y4m", {"codec": "wrapped_avframe"}), (".mxf", MPEG2), (".m2v", MPEG2), (".rm", {"codec": "rv10"})],
)
def test_files_said_to_be_refused_are(tmp_path, ending, how):
    assert ending in REFUSED and not REFUSED & VIDEOS
    with pytest.raises(ClipError) as error:
        read(made(tmp_path, ending, ending[1:], how))
    assert error.value.kind == "not_a_video"
