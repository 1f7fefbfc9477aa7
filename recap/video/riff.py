"""Whether an AVI file has all that it says it has (RIFF, with the further lists of OpenDML)."""

from __future__ import annotations

import os
from typing import BinaryIO

from recap.video.extent import is_filled

LISTS = 16  # of which the header, the frames and their index are the usual ones


def is_whole(path: str) -> bool:
    """Whether the file at `path` holds the ends of all its lists, and an index; False where it does not say."""
    end = 0
    with open(path, "rb") as file:
        is_indexed = _is_indexed(file)
        file.seek(0)
        while file.read(4) == b"RIFF":
            length = _number(file)
            end = file.tell() + length
            if not length or not is_filled(file, end):
                return False
            file.seek(end)
    return end > 0 and is_indexed


def _is_indexed(file: BinaryIO) -> bool:
    file.seek(12)
    for _ in range(LISTS):
        if file.read(4) == b"idx1":
            return True
        length = _number(file)
        file.seek(length + length % 2, os.SEEK_CUR)
    return False


def _number(file: BinaryIO) -> int:
    return int.from_bytes(file.read(4), "little")
