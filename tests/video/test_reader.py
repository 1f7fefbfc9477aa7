from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from recap.records import FrameRequest
from recap.video import DecodeSettings, InProcessReader, SandboxedReader, frame_indices, open_reader, probe

from .make_clips import encode, encode_audio, index_of, show_by, side_by_side, turn
from .make_fields import write_fields

CONSTANT_RATE = {
    "h264.mp4": "pyav-sparse",
    "hevc-10-bit.mp4": "pyav-sparse",
    "vp9.webm": "pyav-sparse",
    "av1.mp4": "pyav-sparse",
    "yuv444p.mp4": "pyav-sparse",
    "h264.mkv": "pyav-sparse",
    "h264.flv": "pyav-sparse",
    "gif.gif": "pyav",
    "fragmented.mp4": "pyav-sparse",
    "stream.ts": "pyav-sparse",
    "h264.avi": "pyav",
    "mpeg2.mpg": "pyav",
    "mpeg2.mkv": "pyav",
    "mpeg4.mp4": "pyav",
    "mjpeg.mov": "pyav-sparse",
    "raw.h264": "pyav",
}
GOLDEN = json.loads((Path(__file__).parents[1] / "golden/frontend/frame_indices.json").read_text())
THEORA = Path(__file__).parent / "data/theora.ogv"


@pytest.fixture
def only_pyav(monkeypatch):
    for name in ("sparse_decoder", "decord_decoder"):
        monkeypatch.setattr(f"recap.video.{name}.suits", lambda facts, timeline: False)


def shown(frames) -> list[int]:
    return [index_of(picture) for picture in frames.pixels]


@pytest.mark.parametrize("name", CONSTANT_RATE)
def test_the_right_frames_at_the_right_times(read, name):
    frames = read(name)
    expected = frame_indices(40, 16)
    assert frames.pixels.shape == (16, 96, 96, 3) and frames.pixels.dtype == np.uint8
    assert shown(frames) == expected
    assert frames.times_s == pytest.approx([index / 25 for index in expected], abs=2e-3)
    assert frames.decoder == CONSTANT_RATE[name] and frames.flags == ()
    assert (frames.width, frames.height, frames.fps, frames.coverage) == (128, 96, 25.0, 0.75)


@pytest.mark.parametrize("name", [name for name, decoder in CONSTANT_RATE.items() if decoder != "pyav"])
def test_all_decoders_give_the_same_pixels(read, name, request):
    first = read(name)
    request.getfixturevalue("only_pyav")
    second = read(name)
    assert (first.decoder, second.decoder) == (CONSTANT_RATE[name], "pyav")
    assert first.times_s == second.times_s and np.array_equal(first.pixels, second.pixels)


def test_theora(read, request):
    first = read(THEORA)
    request.getfixturevalue("only_pyav")
    assert (first.codec, first.width, first.fps, first.decoder) == ("theora", 560, 30.0, "decord")
    assert np.array_equal(first.pixels, read(THEORA).pixels)
    assert np.abs(np.diff(first.pixels.astype(int), axis=0)).max(axis=(1, 2, 3)).min() > 0


def test_small_batches_change_nothing(read):
    frame_bytes = 3 * 128 * 96
    small = read("long.mp4", memory_gb=32 * 3 * frame_bytes / 2**30)
    assert np.array_equal(small.pixels, read("long.mp4").pixels)


def test_a_variable_rate_is_flagged_and_its_times_are_true(read):
    frames = read("variable.mp4")
    expected = frame_indices(40, 16)
    assert shown(frames) == expected and frames.flags == ("variable_rate",)
    assert frames.times_s == pytest.approx([i * i / 1000 + i / 50 for i in expected], abs=1e-3)


@pytest.mark.parametrize("name", ["long.mp4", "variable.mp4"])
def test_a_span_shows_its_own_moments(read, name):
    frames = read(name, start_s=1.0, end_s=1.8)
    assert min(frames.times_s) >= 0.96 and max(frames.times_s) <= 1.8 and max(frames.times_s) > 1.6
    assert shown(frames) == sorted(shown(frames)) and shown(frames)[0] >= 22


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("total, rate", [(48, Fraction(30)), (150, Fraction(30)), (150, Fraction(24000, 1001))])
def test_a_span_shows_the_frames_that_the_reference_takes(read, tmp_path, ending, total, rate):
    path = encode(tmp_path / f"clip.{ending}", total, rate=rate)
    cases = [c for c in GOLDEN if c["total_frames"] == total and c["fps"] == round(float(rate), 3) and c["bound"]]
    assert len(cases) == 2
    for case in cases:
        start_s, end_s = case["bound"]
        frames = read(path, count=case["num_segments"], start_s=start_s, end_s=end_s)
        assert shown(frames) == case["indices"] and "variable_rate" not in frames.flags
        assert frames.times_s == pytest.approx([i / float(rate) for i in case["indices"]], abs=2e-3)


def test_a_span_behind_the_end_is_refused(refusal):
    error = refusal("h264.mp4", start_s=9.0, end_s=11.0)
    assert (error.stage, error.kind) == ("decode", "empty_span") and error.facts["duration_s"] == 1.6


@pytest.mark.parametrize("name, total", [("one.mp4", 1), ("six.mp4", 6)])
def test_short_clips_repeat_frames_and_say_so(read, name, total):
    frames = read(name)
    assert shown(frames) == frame_indices(total, 16) and frames.flags == ("repeated_frames",)


@pytest.mark.parametrize("clockwise", [1, 2, 3])
def test_phones_held_sideways(read, tmp_path, clockwise):
    path = turn(encode(tmp_path / "phone.mp4", quarter_turns=clockwise), clockwise)
    frames = read(path)
    assert shown(frames) == frame_indices(40, 16) and (frames.width, frames.height) == (128, 96)


def test_frames_cut_away_by_an_edit_list_are_not_shown(read):
    frames = read("edit-list.mp4")
    first = frames.times_s[0] * 25
    assert shown(frames)[0] == pytest.approx(first + 26, abs=1) and shown(frames)[-1] > 185
    assert np.diff(shown(frames)) == pytest.approx(np.diff(frames.times_s) * 25, abs=1e-6)
    assert frames.flags == ()


def test_windows_come_first_then_moments(read):
    wide = read("h264.mp4", view="wide")
    left, right = wide.pixels[:16], wide.pixels[16:]
    grey = (slice(None), 48, slice(0, 12))
    assert wide.pixels.shape == (32, 96, 96, 3) and len(wide.times_s) == 16
    assert np.abs(left[grey].astype(int) - 128).max() < 25
    assert np.abs(right[:, 48, -12:].astype(int) - 128).max() < 25
    # Left and right of one moment overlap by 64 of the 128 columns: put together, both say its index.
    whole = np.concatenate([left, right[:, :, 64:]], axis=2)
    assert [index_of(picture[:, 16:112]) for picture in whole] == frame_indices(40, 16)
    assert np.abs(left[:, :, 32:].astype(int) - right[:, :, :64]).max() == 0


def test_a_sandbox_stands_before_the_decoder_unless_it_is_turned_off(monkeypatch):
    assert isinstance(open_reader(DecodeSettings()), SandboxedReader)
    assert isinstance(open_reader(DecodeSettings(sandbox=False)), InProcessReader)
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(ValueError, match=r"decode\.sandbox needs Linux"):
        open_reader(DecodeSettings())


def test_real_clips():
    folder = Path(__file__).parents[2] / "pipelines/demo/clips"
    reader = open_reader(DecodeSettings())
    facts = {
        name: reader.read(str(folder / name), FrameRequest(count=4))
        for name in ("cockatoo.mp4", "realshort.mp4", "phone-vfr-1080p.mp4")
    }
    reader.close()
    assert [f.width for f in facts.values()] == [1280, 320, 1920]
    assert [f.duration_s for f in facts.values()] == pytest.approx([14.0, 1.1992, 1.517444], abs=1e-3)
    assert [f.flags for f in facts.values()] == [(), (), ("variable_rate",)]
    assert all(f.decoder == "pyav-sparse" and f.pixels.std() > 20 for f in facts.values())


@pytest.mark.parametrize("ending", ("h264", "ts"))
def test_two_fields_are_one_frame(read, tmp_path, ending):
    path = write_fields(tmp_path / "fields.h264")
    if ending == "ts":
        path = in_stream(path, tmp_path / "fields.ts")
    frames = read(path)
    assert [index_of(picture) for picture in frames.pixels] == frame_indices(40, 16)
    assert (frames.flags, frames.fps, frames.duration_s) == ((), 25.0, 1.6)


def in_stream(source: Path, path: Path) -> Path:
    """The picture with a time for each two of its packets, as broadcasts have it."""
    with av.open(str(source)) as reading, av.open(str(path), "w") as writing:
        copied, fields = writing.add_stream_from_template(reading.streams.video[0]), list(reading.demux(video=0))
        for number in range(0, 80, 2):
            packet = av.Packet(bytes(fields[number]) + bytes(fields[number + 1]))
            packet.stream, packet.time_base = copied, Fraction(1, 25)
            packet.pts = packet.dts = number // 2
            packet.is_keyframe = number % 24 == 0
            writing.mux(packet)
    return path


@pytest.mark.parametrize("ending", ("ts", "mp4"))
def test_and_so_they_are_where_each_has_its_own_time(read, tmp_path, ending):
    source, path = write_fields(tmp_path / "fields.h264"), tmp_path / f"fields.{ending}"
    with av.open(str(source)) as reading, av.open(str(path), "w") as writing:
        copied = writing.add_stream_from_template(reading.streams.video[0])
        for number, packet in enumerate(packet for packet in reading.demux(video=0) if packet.size):
            packet.stream, packet.time_base, packet.duration = copied, Fraction(1, 50), 1
            packet.pts = packet.dts = number
            writing.mux(packet)
    frames = read(path)
    assert shown(frames) == frame_indices(40, 16)
    assert (frames.flags, frames.fps, frames.duration_s) == ((), 25.0, 1.6)


@pytest.mark.parametrize(
    "how",
    [{"codec": "mpeg4"}, {"options": {"preset": "ultrafast", "x264-params": "interlaced=1:bframes=0:log-level=error"}}],
)
def test_frames_that_an_avi_left_out(read, tmp_path, how):
    path = encode(tmp_path / "gap.avi", 40, pts=lambda index: index + 6 * (index >= 20), **how)
    frames = read(path)
    assert frames.flags == ("variable_rate",) and frames.duration_s == 1.84
    shown_at = [index_of(picture) for picture in frames.pixels]
    assert shown_at == frame_indices(40, 16)
    assert frames.times_s == pytest.approx([(index + 6 * (index >= 20)) / 25 for index in shown_at])


@pytest.mark.parametrize("ending", ("ts", "mkv"))
def test_spans_that_end_behind_a_file_whose_rate_is_more_than_its_header_says(read, refusal, tmp_path, ending):
    def slow_then_fast(index: int) -> int:
        return 18000 * min(index, 25) + 3000 * max(0, index - 25)

    path = encode(tmp_path / f"slow.{ending}", 225, rate=5, pts=slow_then_fast, time_base=Fraction(1, 90000))
    assert read(path, start_s=0.0, end_s=14.0).times_s[-1] == pytest.approx(11.4, abs=0.1)
    assert read(path, start_s=6.0, end_s=14.0).times_s[0] > 6.0
    assert refusal(path, start_s=13.0, end_s=20.0).kind == "empty_span"


@pytest.mark.parametrize("codec", ("libx264", "mjpeg"))
@pytest.mark.parametrize(
    ("matrix", "show"),
    [
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda picture: picture.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda picture: np.rot90(picture, 2).swapaxes(0, 1)),
    ],
)
def test_mirrored_pictures(read, tmp_path, codec, matrix, show):
    how = {"codec": codec, "pix_fmt": "yuvj420p" if codec == "mjpeg" else "yuv420p"}
    plain, mirrored = (read(encode(tmp_path / f"{name}.mov", 8, **how), view="pad") for name in ("plain", "mirrored"))
    mirrored = read(show_by(tmp_path / "mirrored.mov", *matrix), view="pad")
    assert (mirrored.width, mirrored.height) == ((96, 128) if matrix[0] == 0 else (128, 96))
    for before, after in zip(plain.pixels, mirrored.pixels, strict=True):
        assert np.abs(show(before).astype(int) - after).max() <= 2  # the order of both passes of a resize


def test_a_sound_that_turns_up_midway(read, tmp_path):
    def part(first: int, count: int, ending: str = "ts") -> Path:
        how = {"codec": "mpeg2video", "options": {"g": "1", "qmax": "2"}}
        return encode(tmp_path / f"{first}.{ending}", count, pts=lambda index: first + index, **how)

    heard = side_by_side(tmp_path / "heard.ts", part(200, 20, "mkv"), encode_audio(tmp_path / "sound.mkv"))
    path = tmp_path / "late.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in (part(0, 200), heard, part(220, 300))))
    with av.open(str(path)) as container:
        assert not container.streams.audio, "FFmpeg looks far enough to see it at once"
    assert probe(str(path)).frames == 520 and "damaged" not in read(path).flags
