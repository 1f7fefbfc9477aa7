"""Whether a file has all the bytes that its container speaks of."""

from __future__ import annotations

import os
from typing import BinaryIO

END = 64  # bytes; all zero where a file was made as large as it should become, and then not filled


def is_filled(file: BinaryIO, end: int) -> bool:
    """Whether `file` goes on to the byte `end`, and something is written before that."""
    if end > os.fstat(file.fileno()).st_size:
        return False
    file.seek(max(0, end - END))
    return any(file.read(END))
