"""Reading what may be a file or an object."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from recap.storage.address import Location, is_store
from recap.storage.archives import StoredMember, file_of, in_archive
from recap.storage.errors import store_errors

if TYPE_CHECKING:
    import pyarrow as pa


def read_bytes(path: Location) -> bytes:
    """All of a file or tar's member, or of an object by one request. Raises FileNotFoundError and other OSErrors."""
    if (member := in_archive(path)) is not None:
        return b"".join(StoredMember(*member).chunks())
    if not is_store(path):
        return path.read_bytes()
    with store_errors(path):
        return path.fs.cat_file(path.path)


def children(folder: Location) -> list[Location]:
    """What is directly in `folder`, in no order; nothing where there is no folder.

    Raises other OSErrors: what cannot be listed is not empty, though a `glob` says so.
    """
    try:
        return [folder / name for name in _names(folder)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _names(folder: Location) -> list[str]:
    if not is_store(folder):
        return os.listdir(folder)
    with store_errors(folder):
        names = folder.fs.ls(folder.path, detail=False)
    return [name.rpartition("/")[2] for name in names if not name.endswith("/")]


def source(path: Location) -> Path | pa.BufferReader:
    """What pyarrow reads `path` from: a file as it lies there, an object whole, by one request."""
    if not is_store(path):
        return path
    import pyarrow as pa

    return pa.BufferReader(read_bytes(path))


def is_cut_off(path: Location) -> bool:
    """Whether nothing is to be seen of the folder where a file was: its disk is not mounted, its store is silent."""
    folder = file_of(path).parent
    try:
        if is_store(folder):
            return not is_folder(folder)
        with os.scandir(folder) as found:
            return not any(found)
    except PermissionError:
        return is_store(folder)  # a local folder that may not be listed may hold files that can be read
    except OSError:
        return True


def is_folder(path: Location) -> bool:
    """Whether there is a folder; in a store, an object below the prefix."""
    if not is_store(path):
        return os.path.isdir(path)
    with store_errors(path):
        return path.is_dir()
