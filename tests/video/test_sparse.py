"""Decoding only what the wanted frames refer to: the same frames, the same pixels, and no trust without proof."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from recap.records import FrameRequest
from recap.video import DecodeSettings, InProcessReader, SandboxedReader, frame_indices, sparse_decoder
from recap.video.container import open_video
from recap.video.needed import Stretch, depth, entries_of, needed
from recap.video.probe import Probe
from recap.video.timeline import Coded

from .make_clips import damage, encode, index_of, packets_of, remux, turn

X264 = {
    "no-b": "bframes=0:keyint=12",
    "flat-b": "bframes=3:b-pyramid=none:b-adapt=0:keyint=24",
    "pyramid": "bframes=7:b-pyramid=normal:b-adapt=0:keyint=48:ref=5",
    "one-group": "bframes=3:keyint=infinite",
    "open": "bframes=3:b-adapt=0:keyint=16:min-keyint=16:open-gop=1:scenecut=0",
    "intra": "keyint=1",
    "refresh": "bframes=0:intra-refresh=1:keyint=12",
    "interlaced": "interlaced=1:bframes=2:keyint=20",
    "slices": "slices=4:bframes=2:keyint=20",
}
X265 = {
    "no-b": "bframes=0:keyint=12:no-open-gop=1",
    "pyramid": "bframes=6:b-adapt=0:keyint=40",
    "closed": "bframes=3:b-adapt=0:keyint=16:min-keyint=16:open-gop=0:scenecut=0",
    "open": "bframes=4:b-adapt=0:keyint=16:min-keyint=16:open-gop=1:scenecut=0:radl=0",
    "radl": "bframes=4:b-adapt=0:keyint=16:min-keyint=16:open-gop=0:radl=2:scenecut=0",
    "layers": "bframes=4:b-adapt=0:keyint=32:temporal-layers=2",
}
STRUCTURES = [("libx264", name) for name in X264] + [("libx265", name) for name in X265]
# Nothing can be shown from the middle of a gradual refresh, which calls its first frame a key frame.
WITHOUT = {("libx264", "refresh")}


def structured(path, codec, structure, frames=120, **how):
    """A clip of `frames` frames, coded as X264 or X265 say."""
    name, table = ("x264-params", X264) if codec == "libx264" else ("x265-params", X265)
    options = {"preset": "medium", name: f"{table[structure]}:log-level=none"}
    options[name] += ":pools=1:frame-threads=1" if codec == "libx265" else ""
    return encode(path, frames, codec=codec, options=options, **how)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("structures")


@pytest.fixture(scope="module", params=STRUCTURES, ids="-".join)
def clip(request, folder):
    return request.param, structured(folder / f"{'-'.join(request.param)}.mp4", *request.param)


@pytest.fixture
def everything(monkeypatch):
    """Have PyAV decode every frame of the files read after the call."""
    return lambda: [
        monkeypatch.setattr(f"recap.video.{name}.suits", lambda *_: False)
        for name in ("sparse_decoder", "decord_decoder")
    ]


@pytest.mark.parametrize("span", [{}, {"start_s": 1.1, "end_s": 2.3}, {"start_s": 3.0}, {"end_s": 0.9}])
@pytest.mark.parametrize("count", [4, 16])
def test_pixels_are_those_of_a_decoder_that_decodes_everything(read, everything, clip, span, count):
    structure, path = clip
    sparse = read(path, count=count, **span)
    everything()
    whole = read(path, count=count, **span)
    assert (sparse.decoder, whole.decoder) == ("pyav" if structure in WITHOUT else "pyav-sparse", "pyav")
    assert (sparse.times_s, sparse.flags) == (whole.times_s, whole.flags)
    assert np.array_equal(sparse.pixels, whole.pixels)
    assert [index_of(picture) for picture in sparse.pixels] == [round(25 * time_s) for time_s in sparse.times_s]


def test_frames_between_the_wanted_ones_are_not_decoded(read, monkeypatch, folder):
    path, shown = structured(folder / "counted.mp4", "libx264", "flat-b"), []
    honest = sparse_decoder._begun_rightly

    def counting(frames, *rest):
        for frame in honest(frames, *rest):
            shown.append(frame.pts)
            yield frame

    monkeypatch.setattr("recap.video.sparse_decoder._begun_rightly", counting)
    read(path, count=4)
    # One in four is an anchor, and behind the wanted one of each group nothing is decoded.
    assert len(shown) < 4 * (24 / 4 + 2)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov", "flv", "ts"])
@pytest.mark.parametrize("codec, structure", [("libx264", "pyramid"), ("libx265", "open")])
def test_containers(read, tmp_path, ending, codec, structure):
    if (codec, ending) == ("libx265", "flv"):
        pytest.skip("PyAV writes no HEVC into FLV")
    frames = read(structured(tmp_path / f"clip.{ending}", codec, structure))
    assert frames.decoder == "pyav-sparse" and frames.flags == ()
    assert [index_of(picture) for picture in frames.pixels] == frame_indices(120, 16)


@pytest.mark.parametrize("codec, structure", [("libx264", "pyramid"), ("libx265", "open")])
def test_a_variable_rate_an_edit_list_and_a_phone_held_sideways(read, tmp_path, codec, structure):
    clock = {"pts": lambda index: index * index * 10 + index * 200, "time_base": Fraction(1, 10000)}
    frames = read(structured(tmp_path / "variable.mp4", codec, structure, **clock))
    assert [index_of(picture) for picture in frames.pixels] == frame_indices(120, 16)
    turned = read(turn(structured(tmp_path / "turned.mp4", codec, structure, quarter_turns=1), 1))
    assert [index_of(picture) for picture in turned.pixels] == frame_indices(120, 16)
    shifted = read(remux(structured(tmp_path / "whole.mp4", codec, structure), tmp_path / "edited.mp4", 1.02))
    shown = [index_of(picture) for picture in shifted.pixels]
    assert np.diff(shown) == pytest.approx(25 * np.diff(shifted.times_s), abs=1e-6) and shown[0] > 25
    assert {each.decoder for each in (frames, turned, shifted)} == {"pyav-sparse"}


@pytest.mark.parametrize("name, looks", [("h264.mp4", True), ("hevc-10-bit.mp4", False), ("stream.ts", True)])
def test_ffmpeg_decodes_no_frame_of_its_own_where_the_header_suffices(read, monkeypatch, name, looks):
    opened = []
    monkeypatch.setattr(
        sparse_decoder, "open_video", lambda *source, look: opened.append(look) or open_video(*source, look=look)
    )
    assert read(name).decoder == "pyav-sparse" and opened == [looks]


@pytest.mark.parametrize("name", ["mpeg2.mpg", "mpeg4.mp4", "h264.avi", "raw.h264", "gif.gif"])
def test_what_is_left_to_the_others(read, name):
    assert "sparse" not in read(name).decoder


@pytest.mark.parametrize("decoder", ["exact", "fast"])
@pytest.mark.parametrize("codec, structure", [("libx264", "flat-b"), ("libx265", "pyramid")])
def test_damage_is_stepped_over_and_flagged_in_the_sandbox_too(tmp_path, codec, structure, decoder):
    path = damage(structured(tmp_path / "whole.mp4", codec, structure, 200), tmp_path / "clip.mp4", 0.4, 2000)
    request, settings = FrameRequest(size=48), DecodeSettings(decoder=decoder)
    here = InProcessReader(settings).read(str(path), request)
    sandbox = SandboxedReader(settings)
    there = sandbox.read(str(path), request)
    sandbox.close()
    assert here.flags == there.flags == ("damaged",) and here.decoder.startswith("pyav")
    assert "sparse" not in here.decoder and np.array_equal(here.pixels, there.pixels)


def test_a_container_that_lies_about_its_key_frames_is_not_believed(read, monkeypatch, folder):
    path = structured(folder / "lies.mp4", "libx264", "one-group")
    monkeypatch.setattr(
        sparse_decoder, "entries_of", lambda coded, codec: np.arange(len(coded.pts)) % 10 == 5, raising=True
    )
    frames = read(path, count=4)
    assert frames.decoder == "pyav" and frames.flags == ()
    assert [index_of(picture) for picture in frames.pixels] == frame_indices(120, 4)


def test_threads_change_nothing(clips, tmp_path, home):
    """The same bytes on one core and on all of them."""
    path = home / "pipelines/demo/clips/phone-vfr-1080p.mp4"
    script = (
        "import os, sys, hashlib; os.sched_setaffinity(0, {int(c) for c in sys.argv[1].split(',')});"
        "from recap.records import FrameRequest; from recap.video import DecodeSettings, InProcessReader;"
        "frames = InProcessReader(DecodeSettings(decoder='fast')).read(sys.argv[2], FrameRequest());"
        "print(frames.decoder, frames.times_s, hashlib.sha256(frames.pixels.tobytes()).hexdigest())"
    )
    cores = sorted(os.sched_getaffinity(0))
    said = {
        subprocess.run(
            [sys.executable, "-c", script, ",".join(map(str, some)), str(path)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for some in (cores[:1], cores)
    }
    assert len(said) == 1 and said.pop().startswith("pyav-sparse-fast")


@pytest.mark.parametrize("view", ["crop", "pad", "wide"])
def test_what_fast_costs_on_a_filmed_clip(read, home, view):
    path = home / "pipelines/demo/clips/phone-vfr-1080p.mp4"
    exact, fast = (read(path, view=view, size=336, decoder=decoder) for decoder in ("exact", "fast"))
    assert fast.decoder == "pyav-sparse-fast" and fast.times_s == exact.times_s
    errors = np.square(exact.pixels.astype(float) - fast.pixels).mean(axis=(1, 2, 3))
    psnr_db = 10 * np.log10(255**2 / errors)
    assert psnr_db.mean() > 38 and psnr_db.min() > 34 and psnr_db[-1] > 34


@pytest.mark.parametrize(
    "codec, width, depths, between, left_out",
    [
        ("h264", 1920, [32, 3], 0, "all"),
        ("h264", 1920, [3, 33], 0, "bidir"),
        ("h264", 1920, [3, 64], 1, "all"),
        ("h264", 3840, [65, 3], 3, "bidir"),
        ("hevc", 1920, [16, 3], 1, "all"),
        ("hevc", 3840, [3, 17], 1, "bidir"),
        ("h264", 1280, [3], 1, None),
    ],
)
def test_where_the_loop_filter_is_left_out(codec, width, depths, between, left_out):
    facts = Probe("mov", codec, width, width * 9 // 16, 25.0, 100, 4.0, 0, False)
    apart = between + 1
    shown = [apart * at + step for at in range(sum(depths)) for step in (between, *range(between))]
    packets = Coded(np.array(shown), np.zeros(len(shown), bool))
    stretches = [Stretch(numbers) for numbers in np.split(np.arange(len(shown)), [apart * depths[0]])]
    assert sparse_decoder._shortcuts(facts, packets, stretches, (640, 360)).get("skip_loop_filter") == left_out


@pytest.mark.parametrize(
    "packets, frames", [("I0", 1), ("I0 P1 P2", 3), ("I0 P4 B2 b1 b3 P8 B6", 3), ("I4 b2 b3 P8 b5", 2)]
)
def test_depth_counts_no_b_frames(packets, frames):
    assert depth(coded(packets).pts) == frames


def test_pictures_of_layers_are_not_passed_over(folder):
    for structure, layered in (("layers", True), ("pyramid", False)):
        with av.open(str(structured(folder / f"{structure}.mp4", "libx265", structure, 8))) as container:
            assert sparse_decoder._layered(container.streams.video[0].codec_context) is layered


def coded(text: str) -> Coded:
    """Packets in decoding order: `I0 P3 b1`; capitals I are key frames."""
    words = text.split()
    return Coded(np.array([int(w[1:]) for w in words]), np.array([w[0] == "I" for w in words]))


OPEN = "I0 P3 b1 b2 I6 b4 b5 P9 b7 b8 I12 b10 b11"
CLOSED = "I0 P3 b1 b2 I4 P7 b5 b6 I8 P11 b9 b10"


@pytest.mark.parametrize(
    "codec, packets, wanted, numbers",
    [
        ("h264", CLOSED, [2], [[0, 1, 2, 3]]),
        ("h264", CLOSED, [4, 9], [[4], [8, 9, 10]]),
        ("h264", CLOSED, [3, 4], [[0, 1], [4]]),
        ("h264", OPEN, [9], [list(range(8))]),
        ("hevc", OPEN, [9], [[4, 7]]),
        ("hevc", OPEN, [4], [[0, 1, 2, 3, 4, 5]]),
        ("hevc", OPEN, [2, 4, 6], [[0, 1, 2, 3, 4, 5]]),
        ("hevc", OPEN, [2, 12], [[0, 1, 2, 3], [10]]),
        ("hevc", OPEN, [10], [[4, 7, 8, 9, 10, 11]]),
        ("hevc", OPEN, [6, 10], [[4, 7, 8, 9, 10, 11]]),
    ],
)
def test_what_is_needed(codec, packets, wanted, numbers):
    video = coded(packets)
    found = needed(video, np.array(wanted), entries_of(video, codec))
    assert [stretch.numbers.tolist() for stretch in found] == numbers


def test_vp9_that_begins_between_key_frames(read, everything, tmp_path):
    """Its first pictures refer to what is not there: they are stood in for, and the clip is flagged."""
    options = {"deadline": "realtime", "cpu-used": "8", "g": "12"}
    whole, path = encode(tmp_path / "whole.webm", codec="libvpx-vp9", options=options), tmp_path / "middle.webm"
    with av.open(str(whole)) as reading, av.open(str(path), "w") as writing:
        copied = writing.add_stream_from_template(reading.streams.video[0])
        for packet in [each for each in reading.demux(0) if each.size][5:]:
            packet.stream = copied
            writing.mux(packet)
    frames = read(path)
    assert frames.flags == ("damaged",) and frames.decoder == "pyav"
    assert [index_of(picture) for picture in frames.pixels][-8:] == [23, 25, 27, 29, 32, 34, 36, 38]


@pytest.mark.parametrize("codec", ("libvpx", "libvpx-vp9"))
def test_pictures_that_change_their_size(read, everything, tmp_path, codec):
    options, path = {"deadline": "realtime", "cpu-used": "8", "g": "12"}, tmp_path / "sizes.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 256, 192, "yuv420p"
        for first, size in ((0, (256, 192)), (20, (384, 288))):
            for packet in packets_of(codec, range(first, first + 20), size, options):
                packet.stream = stream
                container.mux(packet)
    frames = read(path)
    assert frames.decoder == "pyav-sparse" and [index_of(each) for each in frames.pixels] == frame_indices(40, 16)
    everything()
    assert np.array_equal(frames.pixels, read(path).pixels)
