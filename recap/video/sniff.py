"""What a file is and what its first bytes say, before any decoder opens it."""

from __future__ import annotations

import errno
import os
import re
import stat

from recap.records import ClipError

HEAD_BYTES = 2**20  # how far FFmpeg looks for what a file is
BLANKS = b" \t\r\n\xef\xbb\xbf"  # with the mark that some editors put before UTF-8
# Formats whose text names other files or addresses, which a decoder would open in its turn.
_PLAYLIST = re.compile(
    rb"^(#EXTM3U|ffconcat\b|v=0\r?\n|\[playlist\]|\[InternetShortcut\]|<smil\b|<asx\b|rtsptext|SMIL)"
    rb"|<MPD[\s>]|<CompositionPlaylist\b|<SmoothStreamingMedia\b|<AssetMap\b",
    re.IGNORECASE,
)
_TAG = re.compile(rb"[%b]*ID3...(.{4})" % BLANKS, re.DOTALL)
_CONTAINER = re.compile(
    rb"^(.{4}(ftyp|moov|mdat|wide|free|skip)|\x1a\x45\xdf\xa3|RIFF.{4}AVI |FLV\x01|OggS|\x00\x00\x01\xba)",
    re.DOTALL,
)


def check_head(path: str) -> bytes:
    """The file's first bytes. Raises ClipError: missing, not_a_file, unreadable, empty_file, playlist."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would have us wait for its other end
            raise ClipError("probe", "not_a_file", "there is a folder, a pipe or a device at the clip's address")
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise ClipError("probe", "missing", "there is no file at the clip's address") from None
    except OSError as error:
        raise ClipError("probe", "unreadable", _why_unreadable(error)) from None
    if not head:
        raise ClipError("probe", "empty_file", "the file is empty")
    if _PLAYLIST.search(_text(head)):
        raise ClipError("probe", "playlist", "the file is a playlist or script that points at other files")
    return head


def _why_unreadable(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "there is a link at the clip's address, or a folder of it, that leads to itself"
    return "the file may not be read"


def is_container(head: bytes) -> bool:
    """Whether the bytes begin like a video container, so that a reader's refusal means damage."""
    return bool(_CONTAINER.match(head))


def _text(head: bytes) -> bytes:
    """`head` from where a playlist would begin: behind blanks and ID3 tags, up to the first zero."""
    at = 0
    while tag := _TAG.match(head, at):
        at = tag.end() + sum((byte & 127) << shift for byte, shift in zip(tag[1], (21, 14, 7, 0), strict=True))
    # FFmpeg takes these texts to end at a zero, so that the metadata inside a container is none.
    return head[at:].lstrip(BLANKS).partition(b"\0")[0]
