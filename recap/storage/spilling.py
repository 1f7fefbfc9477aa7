"""Tables that may be larger than the memory."""

from __future__ import annotations

import errno
import mmap
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def spilled(schema: pa.Schema, tables: Iterable[pa.Table]) -> pa.Table:
    """All rows of some tables of `schema`, in a temporary file that has no name and goes with them.

    They are read from the disk as they are looked at. Raises ValueError where the disk has no room for them.
    """
    import pyarrow as pa

    with tempfile.TemporaryFile() as file:
        try:
            with pa.ipc.new_file(file, schema) as writer:
                for table in tables:
                    writer.write_table(table)
            file.flush()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise ValueError(_no_room()) from error
        return pa.ipc.open_file(pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))).read_all()


def _no_room() -> str:
    return (
        f"the disk of {tempfile.gettempdir()} has no room for the list of clips (some 0.1 KB each): "
        "make room there, or set TMPDIR to a folder on another disk"
    )
