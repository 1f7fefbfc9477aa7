"""Reading what may be a file or an object."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from recap.storage.address import Location, is_store
from recap.storage.errors import store_errors

if TYPE_CHECKING:
    import pyarrow as pa


def source(path: Location) -> Path | pa.BufferReader:
    """What pyarrow reads `path` from: a file as it lies there, an object whole, by one request."""
    if not is_store(path):
        return path
    import pyarrow as pa

    with store_errors(path):
        return pa.BufferReader(path.fs.cat_file(path.path))


def is_folder(path: Location) -> bool:
    """Whether there is a folder; in a store, an object below the prefix."""
    if not is_store(path):
        return os.path.isdir(path)
    with store_errors(path):
        return path.is_dir()
