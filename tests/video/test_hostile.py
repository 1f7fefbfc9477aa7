"""Files that were made to do harm: what they point at is not opened, what they claim is not believed."""

from __future__ import annotations

import os
import socket
import struct
import sys

import pytest

from recap.records import ClipError, FrameRequest
from recap.video import DecodeSettings, SandboxedReader, probe

from .make_clips import encode

PLAYLISTS = {
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{there}\n#EXT-X-ENDLIST\n",
    "ffconcat": b"ffconcat version 1.0\nfile '{there}'\n",
    "dash": b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    b'<AdaptationSet><Representation id="1"><BaseURL>{there}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "sdp": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nm=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
}
DISGUISES = {
    "bare": b"%s",
    "blanks": b" \r\n\t%s",
    "mark": b"\xef\xbb\xbf%s",
    "mark-and-blanks": b"\n\xef\xbb\xbf\n%s",
    "tag": b"ID3\x04\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00%s",
    "two-tags": 2 * b"ID3\x04\x00\x00\x00\x00\x00\x02ab" + b"\n%s",
    "long-tag": b"ID3\x04\x00\x00\x00\x10\x00\x00" + bytes(0x10 << 14) + b"%s",
}


def refused(path) -> ClipError:
    with pytest.raises(ClipError) as caught:
        probe(str(path))
    assert caught.value.stage == "probe" and str(path) not in caught.value.message
    return caught.value


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_is_known_by_its_first_bytes(tmp_path, kind, disguise):
    (tmp_path / "clip.mp4").write_bytes(DISGUISES[disguise] % PLAYLISTS[kind])
    assert refused(tmp_path / "clip.mp4").kind == "playlist"


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_and_what_it_names_is_not_opened_by_the_demuxer_either(clips, tmp_path, monkeypatch, kind):
    monkeypatch.setattr("recap.video.container.check_head", lambda path: b"")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        for there in (clips / "stream.ts", f"http://127.0.0.1:{server.getsockname()[1]}/stream.ts"):
            (tmp_path / "clip.mp4").write_bytes(PLAYLISTS[kind].replace(b"{there}", str(there).encode()))
            assert refused(tmp_path / "clip.mp4").kind == "not_a_video"
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_word_in_a_videos_metadata_makes_it_no_playlist(clips, tmp_path):
    data = (clips / "h264.mp4").read_bytes()
    note = b"<MPD xmlns='urn:mpeg:dash:schema:mpd:2011'>"
    box = struct.pack(">I", 8 + len(note)) + b"free" + note
    start = struct.unpack(">I", data[:4])[0]
    (tmp_path / "clip.mp4").write_bytes(data[:start] + box + data[start:])
    assert probe(str(tmp_path / "clip.mp4")).codec == "h264"


@pytest.mark.timeout(20)
def test_a_pipe_a_device_and_a_folder_are_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket.mp4"))
        for path in ("pipe.mp4", "zero.mp4", "socket.mp4", "."):
            assert refused(tmp_path / path).kind == "not_a_file"


def test_a_link_that_leads_to_itself_is_called_so(tmp_path):
    (tmp_path / "a.mp4").symlink_to("b.mp4")
    (tmp_path / "b.mp4").symlink_to("a.mp4")
    (tmp_path / "ring").symlink_to("ring")
    for path in ("a.mp4", "ring/c.mp4"):
        error = refused(tmp_path / path)
        assert error.kind == "unreadable" and "leads to itself" in error.message


def test_a_frame_that_claims_gigabytes_is_refused_before_they_are_taken(tmp_path):
    picture = bytearray(encode(tmp_path / "clip.gif", codec="gif", pix_fmt="rgb8").read_bytes())
    picture[6:10] = struct.pack("<HH", 65535, 65535)
    (tmp_path / "giant.gif").write_bytes(picture)
    reader = SandboxedReader(DecodeSettings(memory_gb=0.3))
    with pytest.raises(ClipError) as caught:
        reader.read(str(tmp_path / "giant.gif"), FrameRequest())
    reader.close()
    assert (caught.value.stage, caught.value.kind) == ("probe", "too_large")
    assert caught.value.message == "frames of 65535x65535 pixels are over the limit of 67 megapixels"


def test_a_header_is_held_to_the_limit(clips, monkeypatch):
    monkeypatch.setattr(sys.modules["recap.video.probe"], "MAX_PIXELS", 128 * 96)
    assert probe(str(clips / "h264.mp4")).width == 128
    monkeypatch.setattr(sys.modules["recap.video.probe"], "MAX_PIXELS", 128 * 96 - 1)
    assert refused(clips / "h264.mp4").kind == "too_large"


def test_and_so_are_the_frames_of_a_stream_that_says_otherwise(monkeypatch, refusal):
    monkeypatch.setattr("recap.video.container.MAX_PIXELS", 128 * 96 - 1)
    assert refusal("h264.mp4").kind == "no_frames"


def test_a_count_of_frames_that_claims_gigabytes_ends_at_the_limit(clips, tmp_path):
    data, count = bytearray((clips / "h264.mp4").read_bytes()), 20_000_000
    for box, at, value in ((b"stsz", 8, (1, count)), (b"stsc", 16, (count,)), (b"stts", 12, (count,))):
        start = data.index(box) + at
        data[start : start + 4 * len(value)] = struct.pack(f">{len(value)}I", *value)
    (tmp_path / "bomb.mp4").write_bytes(data)
    reader = SandboxedReader(DecodeSettings(memory_gb=0.3))
    with pytest.raises(ClipError):
        reader.read(str(tmp_path / "bomb.mp4"), FrameRequest())
    reader.close()
