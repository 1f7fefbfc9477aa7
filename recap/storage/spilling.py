"""Tables and arrays that may be larger than the memory."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLIPS = "the list of clips, some 0.1 KB each and your own columns"


def spilled(schema: pa.Schema, tables: Iterable[pa.Table]) -> pa.Table:
    """All rows of some tables of `schema`, in a temporary file that has no name and goes with them.

    They are read from the disk as they are looked at. Raises ValueError where there is no room for such a file.
    """
    import pyarrow as pa

    with _room(CLIPS), _temporary_file(CLIPS) as file:
        with pa.ipc.new_file(file, schema) as writer:
            for table in tables:
                writer.write_table(table)
        file.flush()
        return pa.ipc.open_file(pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))).read_all()


def spilled_zeros(shape: tuple[int, ...], kind: type[np.generic], what: str) -> np.ndarray:
    """An array of zeros to write to, in such a file.

    Raises OSError where there is no room for it, naming `what`: unlike a list that a run begins with, it comes when
    good work is done, and a disk that is full is no mistake of the settings.
    """
    import numpy as np

    if not (size := int(np.prod(shape)) * np.dtype(kind).itemsize):
        return np.zeros(shape, kind)
    try:
        with _temporary_file(what) as file:
            os.posix_fallocate(file.fileno(), 0, size)  # of a disk that is full later on, the kernel would kill us
            return np.frombuffer(mmap.mmap(file.fileno(), size), kind).reshape(shape)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        said = f"{error.strerror}, for {what} (TMPDIR may name a folder on another disk)"
        raise OSError(error.errno, said, tempfile.gettempdir()) from error


@contextmanager
def _room(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ValueError(
            f"there is no room in {tempfile.gettempdir()} for {what} ({error.strerror}): make room, or set TMPDIR to a "
            "folder on another disk"
        ) from error


def _temporary_file(what: str) -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        said = f"there must be a temporary file for {what} ({error}): set TMPDIR to a folder for it"
        raise ValueError(said) from error
