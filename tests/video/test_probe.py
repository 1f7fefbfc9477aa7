from __future__ import annotations

import av
import pytest
from PIL import Image

from recap.records import ClipError
from recap.video import probe
from recap.video.container import FirstFrame, open_video, packets_in
from recap.video.probe import inspect

from .make_clips import encode, encode_audio, frame_of, side_by_side, turn


def refusal(path) -> ClipError:
    with pytest.raises(ClipError) as caught:
        probe(str(path))
    assert caught.value.stage == "probe" and str(path) not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    "name, codec, frames, duration_s",
    [
        ("h264.mp4", "h264", 40, 1.6),
        ("hevc-10-bit.mp4", "hevc", 40, 1.6),
        ("vp9.webm", "vp9", 40, 1.6),
        ("av1.mp4", "av1", 40, 1.6),
        ("stream.ts", "h264", 40, 1.6),
        ("h264.flv", "h264", 40, 1.6),
        ("edit-list.mp4", "h264", None, 6.98),
        ("one.mp4", "h264", 1, 0.04),
        ("sub/../six.mp4", "h264", 6, 0.24),
    ],
)
def test_facts(clips, name, codec, frames, duration_s):
    (clips / "sub").mkdir(exist_ok=True)
    facts = probe(str(clips / name))
    assert (facts.codec, facts.width, facts.height, facts.fps) == (codec, 128, 96, 25.0)
    assert frames in (None, facts.frames) and facts.duration_s == pytest.approx(duration_s, abs=1e-3)
    assert facts.turns == 0 and not facts.has_audio


@pytest.mark.parametrize("clockwise, size", [(1, (96, 128)), (2, (128, 96)), (3, (96, 128))])
def test_size_is_that_of_the_upright_picture(tmp_path, clockwise, size):
    facts = probe(str(turn(encode(tmp_path / "phone.mp4", 3), clockwise)))
    assert (facts.width, facts.height) == size and facts.turns == -clockwise % 4


@pytest.mark.parametrize("facts_of", [probe, lambda path: inspect(path)[0]], ids=["probe", "inspect"])
def test_a_frame_that_comes_out_last_is_seen_behind_a_sound_track(tmp_path, facts_of):
    picture = encode(tmp_path / "picture.mp4", 1, options={"x264-params": "bframes=3:log-level=none"})
    both = side_by_side(tmp_path / "both.mp4", encode_audio(tmp_path / "sound.mp4"), picture)
    facts = facts_of(str(turn(both, 1)))
    assert (facts.width, facts.height, facts.turns, facts.has_audio) == (96, 128, 3, True)


@pytest.mark.parametrize("codec, structure", [("libx264", "x264-params"), ("libx265", "x265-params")])
def test_facts_take_the_decoding_of_one_packet(tmp_path, codec, structure):
    options = {structure: "bframes=3:b-adapt=0:log-level=none"}
    path = str(encode(tmp_path / "clip.mp4", 12, codec=codec, options=options))
    with open_video(path) as (container, stream):
        assert not next(packets_in(container, stream)).decode()
    with open_video(path) as (container, stream):
        first = FirstFrame(stream)
        first.look(next(packets_in(container, stream)))
    assert (first.frame.width, first.frame.key_frame, first.is_halved) == (128, True, False)


def test_whole_interlaced_frames_are_not_taken_for_halves(tmp_path):
    options = {"x264-params": "interlaced=1:bframes=3:b-adapt=0:log-level=none"}
    with open_video(str(encode(tmp_path / "clip.mp4", 30, options=options))) as (container, stream):
        first = FirstFrame(stream)
        for packet in packets_in(container, stream):
            first.look(packet)
    assert first.may_be_halved and not first.is_halved


def test_a_file_is_opened_again_without_decoding_for_it(tmp_path):
    path = str(encode(tmp_path / "clip.mp4", 3))
    formats = []
    for look in (True, False):
        with open_video(path, look=look) as (_, stream):
            formats.append(stream.codec_context.pix_fmt)
    assert formats == ["yuv420p", None]


def test_an_attachment_does_not_matter_where_no_frame_decodes(tmp_path):
    picture, path = encode(tmp_path / "picture.mp4", 3), tmp_path / "attached.mkv"
    picture.write_bytes(picture.read_bytes().replace(coded(picture), bytes(len(coded(picture)))))
    facts, timeline = inspect(str(side_by_side(path, picture, attached="notes.txt")))
    assert (facts.width, facts.height, facts.turns, len(timeline)) == (128, 96, 0, 3)


def coded(path) -> bytes:
    """All of a clip's packets; they lie behind one another."""
    with av.open(str(path)) as container:
        return b"".join(bytes(packet) for packet in container.demux(video=0))


def test_a_missing_file(tmp_path):
    assert refusal(tmp_path / "none.mp4").kind == refusal(tmp_path / "none.mp4" / "a.mp4").kind == "missing"


@pytest.mark.parametrize(
    "text, kind",
    [
        (b"", "empty_file"),
        (b"just some words\n" * 99, "not_a_video"),
        (bytes(range(256)) * 40, "not_a_video"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "playlist"),
        (b"\xef\xbb\xbf#EXTM3U\n#EXTINF:1,\nother.ts\n", "playlist"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x02ab#EXTM3U\nother.ts\n", "playlist"),
        (b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>', "playlist"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n", "playlist"),
    ],
)
def test_files_that_are_no_video(tmp_path, text, kind):
    path = tmp_path / "clip.mp4"
    path.write_bytes(text)
    assert refusal(path).kind == kind


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_picture_is_no_video(tmp_path, kind):
    Image.fromarray(frame_of(3)).save(tmp_path / "clip.mp4", format=kind)
    assert refusal(tmp_path / "clip.mp4").kind == "not_a_video"


def test_sound_alone_is_no_video(clips):
    assert refusal(clips / "sound.mp4").kind == "no_video_stream"


def test_an_mp4_cut_before_its_index_is_called_damaged(clips, tmp_path):
    (tmp_path / "clip.mp4").write_bytes((clips / "h264.mp4").read_bytes()[:2000])
    assert refusal(tmp_path / "clip.mp4").kind == "broken_header"


def test_an_unknown_codec_is_named_as_such(clips, tmp_path):
    data = (clips / "h264.mp4").read_bytes()
    (tmp_path / "clip.mp4").write_bytes(data.replace(b"avc1", b"zzz9"))
    assert refusal(tmp_path / "clip.mp4").kind == "unknown_codec"
