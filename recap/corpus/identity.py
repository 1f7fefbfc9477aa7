"""What makes a clip that clip: its id and its source version."""

from __future__ import annotations

import os
import unicodedata
from hashlib import blake2b

from recap.records import MISSING


def clip_id(uri: str, start_s: float | None = None, end_s: float | None = None) -> str:
    """32 hex digits for a span of the file at `uri` (relative to the corpus root)."""
    address = unicodedata.normalize("NFC", uri)
    if start_s is not None or end_s is not None:
        address += f"#{_milliseconds(start_s)}-{_milliseconds(end_s)}"
    return blake2b(address.encode(), digest_size=16).hexdigest()


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else str(round(seconds * 1000))


def source_version(found: os.stat_result | None, trust_size: bool = False) -> str:
    """Size and time of a file that was `found`, or `missing`."""
    if found is None:
        return MISSING
    return str(found.st_size) if trust_size else f"{found.st_size}-{found.st_mtime_ns}"
