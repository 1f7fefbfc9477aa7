"""How large an ASF file (WMV) says that it is (Advanced Systems Format, section 3.2: File Properties Object)."""

from __future__ import annotations

import struct

PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
SIZE_AT, FLAGS_AT = 40, 88  # from there
BROADCAST = 1  # was written while it was sent: sizes say nothing
HEADER_BYTES = 2**16


def declared_bytes(path: str) -> int | None:
    """None for a file that does not say."""
    with open(path, "rb") as file:
        header = file.read(HEADER_BYTES)
    at = header.find(PROPERTIES)
    if at < 0 or at + FLAGS_AT + 4 > len(header):
        return None
    (flags,) = struct.unpack_from("<I", header, at + FLAGS_AT)
    return None if flags & BROADCAST else struct.unpack_from("<Q", header, at + SIZE_AT)[0]
