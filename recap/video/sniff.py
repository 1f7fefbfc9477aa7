"""What a file's first bytes say, before any decoder opens it."""

from __future__ import annotations

import os
import re

from recap.records import ClipError

HEAD_BYTES = 64 * 1024
# Formats whose text names other files or addresses, which a decoder would open in its turn.
_PLAYLIST = re.compile(
    rb"^(#EXTM3U|ffconcat\b|v=0\r?\n|\[playlist\]|\[InternetShortcut\]|<smil\b|<asx\b|rtsptext|SMIL)"
    rb"|<MPD[\s>]|<CompositionPlaylist\b|<SmoothStreamingMedia\b|<AssetMap\b",
    re.IGNORECASE,
)
_CONTAINER = re.compile(
    rb"^(.{4}(ftyp|moov|mdat|wide|free|skip)|\x1a\x45\xdf\xa3|RIFF.{4}AVI |FLV\x01|OggS|\x00\x00\x01\xba)",
    re.DOTALL,
)


def check_head(path: str) -> bytes:
    """The file's first bytes. Raises ClipError: missing, unreadable, empty_file, playlist."""
    if not os.path.isfile(path):
        raise ClipError("probe", "missing", "there is no file at the clip's address")
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        raise ClipError("probe", "unreadable", "the file may not be read") from None
    if not head:
        raise ClipError("probe", "empty_file", "the file is empty")
    if _PLAYLIST.search(_text(head)):
        raise ClipError("probe", "playlist", "the file is a playlist or script that points at other files")
    return head


def is_container(head: bytes) -> bool:
    """Whether the bytes begin like a video container, so that a reader's refusal means damage."""
    return bool(_CONTAINER.match(head))


def _text(head: bytes) -> bytes:
    """`head` from where a playlist would begin: FFmpeg looks behind ID3 tags."""
    while head[:3] == b"ID3" and len(head) > 10:
        size = sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        head = head[10 + size :]
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()
