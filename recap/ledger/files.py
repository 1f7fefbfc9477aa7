"""JSON documents, and what it means that an output cannot be written."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from recap.storage import Location, abort_uploads, failure, is_store, read_bytes, write_atomically

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BROKEN = {errno.EIO, errno.EROFS, errno.EBUSY, errno.ENODEV, errno.ENXIO}
_OUT_OF_REACH = {errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EREMOTEIO}  # a disk behind a network
OUTPUT_ERRORS = frozenset(_FULL | _BROKEN | _OUT_OF_REACH)


class OutputFailed(Exception):
    """The output cannot be written any more: the disk or the store is full or broken. What was committed is intact."""

    def __init__(self, error: OSError):
        super().__init__(error)
        self.error = error

    def __str__(self) -> str:
        return f"nothing more can be written: {self.error.strerror}"


class Damaged(ValueError):
    """A file of the output that is there and cannot be read. The message names it."""


@contextmanager
def output_errors() -> Iterator[None]:
    """Raise OutputFailed for an error of a disk or a store that says so."""
    try:
        yield
    except Exception as error:
        found = failure(error)
        if found is None or found.errno not in OUTPUT_ERRORS:
            raise
        raise OutputFailed(found) from error


def write_json(path: Location, document: Any) -> None:
    """Human-readable JSON: the same document, in the same order, is the same bytes."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, text.encode())


def read_json(path: Location) -> Any | None:
    """The document, or None where there is no such file. Raises Damaged for what is no JSON."""
    try:
        return json.loads(read_bytes(path).decode())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise Damaged(f"{path} is damaged ({error})") from None


def sweep(output: Location) -> None:
    """Remove what runs that died were about to write or to delete. Only under the lease."""
    if is_store(output):
        abort_uploads(output)
        leftovers = output.glob(".token-*")
    else:
        leftovers = (path for pattern in (".*.tmp", ".token-*") for path in output.rglob(pattern))
    for aside in leftovers:
        aside.unlink(missing_ok=True)
