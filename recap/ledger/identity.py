"""Sixteen bytes for a clip in one version of its file: what is held in memory in place of two strings."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pyarrow as pa

from recap.ids import WIDTH

_STEP = 65_536


def identities(clip_ids: pa.ChunkedArray, source_versions: pa.ChunkedArray) -> np.ndarray:
    """`(rows, 16)` uint8: a digest for each `(clip_id, source_version)`."""
    result = np.empty((len(clip_ids), WIDTH), np.uint8)
    for start in range(0, len(clip_ids), _STEP):
        part = slice(start, start + _STEP)
        pairs = zip(clip_ids[part].to_pylist(), source_versions[part].to_pylist(), strict=True)
        digests = (blake2b(f"{clip}:{version}".encode(), digest_size=WIDTH).digest() for clip, version in pairs)
        result[part] = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, WIDTH)
    return result


def as_arrow(digests: np.ndarray) -> pa.FixedSizeBinaryArray:
    """The same bytes as an Arrow array, not copied."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(digests))]
    return pa.Array.from_buffers(pa.binary(WIDTH), len(digests), buffers)
