"""Whether a Matroska or WebM file has all that it says it has (RFC 8794, EBML; RFC 9559, Matroska)."""

from __future__ import annotations

import os
from typing import BinaryIO

from recap.video.extent import is_filled

HEADER, SEGMENT = 0x1A45DFA3, 0x18538067


def is_whole(path: str) -> bool:
    """Whether the file at `path` holds the end of its segment; False where it does not say where that is."""
    with open(path, "rb") as file:
        if _number(file, keep_marker=True) != HEADER:
            return False
        file.seek(_number(file) or 0, os.SEEK_CUR)
        if _number(file, keep_marker=True) != SEGMENT:
            return False
        size = _number(file)
        return size is not None and is_filled(file, file.tell() + size)


def _number(file: BinaryIO, *, keep_marker: bool = False) -> int | None:
    """A number of as many bytes as its first one has leading zeros, and one; None for one that stands for "unknown"."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    number, bits = int.from_bytes(first + file.read(length - 1)), 7 * length
    if keep_marker:
        return number
    number &= (1 << bits) - 1
    return None if number == (1 << bits) - 1 else number
