"""Tables that may be larger than the memory."""

from __future__ import annotations

import errno
import mmap
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def spilled(schema: pa.Schema, tables: Iterable[pa.Table]) -> pa.Table:
    """All rows of some tables of `schema`, in a temporary file that has no name and goes with them.

    They are read from the disk as they are looked at. Raises ValueError where there is no room for such a file.
    """
    import pyarrow as pa

    with _room(), _temporary_file() as file:
        with pa.ipc.new_file(file, schema) as writer:
            for table in tables:
                writer.write_table(table)
        file.flush()
        return pa.ipc.open_file(pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))).read_all()


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ValueError(
            f"there is no room in {tempfile.gettempdir()} for the list of clips, some 0.1 KB each and your own columns "
            f"({error.strerror}): make room, or set TMPDIR to a folder on another disk"
        ) from error


def _temporary_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        said = f"the list of clips needs a temporary file ({error}): set TMPDIR to a folder for it"
        raise ValueError(said) from error
