"""Files that break off or are broken inside."""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from recap.video import DecodeSettings, frame_indices
from recap.video.asf import FLAGS_AT, PROPERTIES
from recap.video.probe import Probe, probe
from recap.video.timeline import Timeline
from recap.video.truncation import missing

from .make_clips import cut, damage, encode, index_of, packets_of


@pytest.mark.parametrize("ending, unit", [("mp4", "frames"), ("avi", "frames"), ("mkv", "seconds"), ("flv", "seconds")])
def test_a_truncated_file_is_quarantined(refusal, ending, unit):
    error = refusal(f"truncated.{ending}")
    assert (error.stage, error.kind) == ("decode", "truncated") and error.message.endswith(f"declared {unit}")
    assert error.facts["codec"] == "h264" and error.facts["width"] == 128
    assert pickle.loads(pickle.dumps(error)).facts == error.facts


@pytest.mark.parametrize("ending", ["mp4", "avi", "mkv", "flv"])
def test_or_captioned_with_a_flag_and_its_true_length(read, ending):
    frames = read(f"truncated.{ending}", truncated="caption")
    assert "truncated" in frames.flags and 2.5 < frames.duration_s < 5
    assert index_of(frames.pixels[8]) == round(frames.times_s[8] * 25)


def facts_of(declared_frames=None, declared_s=None) -> Probe:
    return Probe("mov", "h264", 8, 8, 25.0, 0, 0.0, 0, False, declared_frames, declared_s)


@pytest.mark.parametrize(
    "declared, found, truncated",
    [(100, 98, False), (100, 97, True), (1000, 980, False), (1000, 979, True), (5, 3, False), (5, 2, True)],
)
def test_two_frames_or_two_percent_are_spared(declared, found, truncated):
    timeline = Timeline(np.arange(found), Fraction(1, 25), 0, 0.0, found / 25)
    assert bool(missing("", facts_of(declared_frames=declared), timeline)) is truncated
    assert bool(missing("", facts_of(declared_s=declared / 25), timeline)) is truncated
    late = Timeline(np.arange(found), Fraction(1, 25), 0, 41.4, 41.4 + found / 25)
    assert bool(missing("", facts_of(declared_s=declared / 25), late)) is truncated


def test_damage_inside_is_stepped_over_and_flagged(read):
    frames = read("damaged.mp4")
    assert frames.decoder == "pyav" and frames.flags == ("damaged",)
    whole = frame_indices(200, 16)
    right = [index_of(picture) == index for picture, index in zip(frames.pixels, whole, strict=True)]
    assert all(right[:6]) and all(right[-6:])


def test_a_decoder_that_shrinks_frames_changes_no_verdict(read, refusal):
    assert refusal("truncated.mp4", decoder="fast").kind == "truncated"
    exact, fast = (read("damaged.mp4", size=48, decoder=decoder) for decoder in ("exact", "fast"))
    assert fast.decoder == "pyav-fast" and fast.flags == exact.flags == ("damaged",)
    assert fast.times_s == exact.times_s and index_of(fast.pixels[-1]) == index_of(exact.pixels[-1])


def test_without_fallback_damage_is_an_error_in_plain_words(refusal, clips):
    error = refusal("damaged.mp4", fallback=False)
    assert (error.stage, error.kind) == ("decode", "decoder_error")
    assert str(clips) not in error.message and error.facts["height"] == 96


def test_a_file_with_hardly_a_frame_left_is_refused(clips, tmp_path, refusal):
    data = bytearray((clips / "long.mp4").read_bytes())
    start = data.index(b"mdat") + 1500
    data[start:] = bytes(len(data) - start)
    (tmp_path / "clip.mp4").write_bytes(data)
    assert refusal(tmp_path / "clip.mp4").kind in ("damaged", "no_frames")


def test_a_surprise_in_a_decoder_becomes_a_clip_error(monkeypatch, refusal):
    def surprise(*_):
        raise KeyError("/secret/path")

    monkeypatch.setattr("recap.video.reader.decode", surprise)
    error = refusal("h264.mp4")
    assert (error.kind, error.message) == ("decoder_error", "the decoder failed with KeyError")


def test_decord_is_not_believed_where_it_miscounts(monkeypatch, read):
    monkeypatch.setattr("recap.video.sparse_decoder.suits", lambda facts, timeline: False)
    monkeypatch.setattr("recap.video.decord_decoder.suits", lambda facts, timeline: True)
    assert read("h264.mp4").decoder == "decord"
    for name in ("stream.ts", "mpeg2.mpg", "edit-list.mp4"):
        assert read(name).decoder == "pyav"


@pytest.mark.parametrize("bad", [{"workers": 0}, {"memory_gb": 0.0}, {"timeout_s": 0.0}])
def test_settings_say_what_is_wrong(bad):
    with pytest.raises(ValidationError, match=next(iter(bad))):
        TypeAdapter(DecodeSettings).validate_python(bad)


def test_the_room_loads_without_torch_and_without_decoders():
    check = "import sys, recap.video; print(sorted({'torch', 'decord', 'av'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def held(path: Path, codec: str, **options: str) -> Path:
    """A clip of 20 frames, the last of which stays for eight seconds."""
    packets = packets_of(codec, range(20), (128, 96), options)
    packets[-1].duration = 200
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for packet in packets:
            packet.stream = stream
            container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("ending", "codec", "options"),
    [("webm", "libvpx", {"deadline": "realtime", "cpu-used": "8"}), ("avi", "mpeg4", {})],
)
def test_a_last_picture_that_stays_is_nothing_that_is_missing(read, tmp_path, ending, codec, options):
    path = held(tmp_path / f"held.{ending}", codec, **options)
    assert read(path).flags == ()
    with av.open(str(path)) as container:
        assert container.duration > 8e6
    size = path.stat().st_size
    (tmp_path / f"made.{ending}").write_bytes(path.read_bytes()[: size // 2] + bytes(size - size // 2))
    assert "truncated" in read(tmp_path / f"made.{ending}", truncated="caption").flags  # as large as it should become
    assert "truncated" in read(cut(path, tmp_path / f"cut.{ending}", 0.5), truncated="caption").flags


@pytest.mark.parametrize(
    ("kept", "is_broadcast", "is_truncated"), [(1.0, 0, 0), (0.99, 0, 0), (0.9, 0, 1), (0.9, 1, 0)]
)
def test_a_wmv_that_has_not_the_bytes_that_it_declares_is_truncated(read, tmp_path, kept, is_broadcast, is_truncated):
    data = bytearray(encode(tmp_path / "whole.wmv", 75, codec="wmv2").read_bytes())
    data[data.index(PROPERTIES) + FLAGS_AT] |= is_broadcast
    (tmp_path / "clip.wmv").write_bytes(data[: int(kept * len(data))])
    assert ("truncated" in read(tmp_path / "clip.wmv", truncated="caption").flags) == is_truncated


def test_a_hole_in_an_avi_is_something_that_is_missing(refusal, clips, tmp_path):
    data = bytearray((clips / "long.avi").read_bytes())
    data[len(data) // 4 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 4)
    (tmp_path / "clip.avi").write_bytes(data)
    assert refusal(tmp_path / "clip.avi").kind == "truncated"


def test_an_avi_without_an_index_has_the_frames_that_it_says(refusal, tmp_path):
    path = encode(tmp_path / "clip.avi", 40, codec="mjpeg", pix_fmt="yuvj420p")
    data = bytearray(path.read_bytes())
    for name, frames in (("whole", data[: data.rindex(b"idx1")]), ("half", data[: len(data) // 2])):
        struct.pack_into("<I", frames, 4, len(frames) - 8)
        (tmp_path / name).write_bytes(frames)
    assert probe(str(tmp_path / "whole")).frames == 40
    assert refusal(tmp_path / "half").kind == "truncated"


@pytest.mark.parametrize(
    ("ending", "codec", "muxing"),
    [("flv", "flv1", {"flvflags": "no_duration_filesize"}), ("mkv", "mpeg1video", {"live": "1"})],
)
def test_a_length_that_ffmpeg_guesses_is_none_that_a_file_declares(read, tmp_path, ending, codec, muxing):
    """It guesses from the rate of bits, which these files say to be less than it is."""
    path = tmp_path / f"clip.{ending}"
    rate = {"b": "20k", "maxrate": "20k", "bufsize": "400k", "qmin": "2", "qmax": "2"}
    packets = packets_of(codec, range(40), (128, 96), rate)
    with av.open(str(path), "w", options=muxing) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 128, 96, "yuv420p", 20_000
        for packet in packets:
            packet.stream = stream
            container.mux(packet)
    with path.open("ab") as file:
        file.write(bytes(100))
    with av.open(str(path)) as container:
        assert container.duration > 2e6
    assert read(path).flags == ()


def test_a_short_flv_whose_clock_starts_late(read, tmp_path):
    frames_between = {"preset": "veryfast", "x264-params": "bframes=7:b-adapt=0:log-level=error"}
    clock = {"rate": 10, "pts": lambda index: 270_000 + 9_000 * index, "time_base": Fraction(1, 90_000)}
    path = encode(tmp_path / "late.flv", 40, options=frames_between, **clock)
    assert read(path).flags == ()
    assert "truncated" in read(cut(path, tmp_path / "cut.flv", 0.6), truncated="caption").flags


def test_damage_shows_in_a_codec_of_key_frames_alone(read, tmp_path):
    whole = encode(tmp_path / "whole.mov", 20, codec="prores_ks", pix_fmt="yuv422p10le")
    assert (read(whole).decoder, read(whole).flags) == ("pyav-sparse", ())
    path = damage(whole, tmp_path / "damaged.mov", length=2000)
    frames = read(path)
    assert (frames.decoder, frames.flags) == ("pyav", ("damaged",))
    assert np.array_equal(frames.pixels, read(path).pixels)


def test_a_sample_of_no_bytes_is_no_damage(read, tmp_path):
    path = encode(tmp_path / "clip.mov", 20, codec="mjpeg", pix_fmt="yuvj420p")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"stsz") + 16 + 4 * 10
    before, size = struct.unpack_from(">II", data, at)
    struct.pack_into(">II", data, at, before + size, 0)
    path.write_bytes(data)
    frames = read(path)
    assert (frames.decoder, frames.flags) == ("pyav-sparse", ("variable_rate",))
    assert [index_of(picture) for picture in frames.pixels] == [index + (index > 10) for index in frame_indices(19, 16)]
