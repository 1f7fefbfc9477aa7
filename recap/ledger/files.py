"""JSON documents, and what it means that an output cannot be written."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from recap.storage import Location, abort_uploads, failure, is_store, read_bytes, write_atomically

Shape = TypeVar("Shape")
FOLDERS = ("fragments", "overlays", "shards", "snapshot", "telemetry")  # in which nobody but a run writes
RUN_AGAIN = "run the same pipeline again, which writes it anew"
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
        where = f" to {self.error.filename}" if self.error.filename else ""
        return f"nothing more can be written{where}: {self.error.strerror}"


class Damaged(ValueError):
    """A file of the output that is there and is not what was written. The message names it."""

    def __init__(self, path: Location, what: str, mended_by: str = ""):
        super().__init__(f"{path} is damaged ({what})" + (f"; {mended_by}" if mended_by else ""))


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


def read_json(path: Location, mended_by: str = "") -> dict[str, Any] | None:
    """The document, or None where there is no such file. Raises Damaged for what is no JSON object."""
    try:
        document = json.loads(read_bytes(path).decode())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:
        raise Damaged(path, str(error), mended_by) from None
    if not isinstance(document, dict):
        raise Damaged(path, "it holds no JSON object", mended_by)
    return document


def shaped(path: Location, document: Any, shape: type[Shape], mended_by: str = "") -> Shape:
    """What was read from `path` as the dataclass `shape`. Raises Damaged, with what is wrong, where it is none."""
    try:
        return _adapter(shape).validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Damaged(path, f"{where}: {first['msg']}" if where else first["msg"], mended_by) from None


@lru_cache
def _adapter(shape: type[Shape]) -> TypeAdapter[Shape]:
    return TypeAdapter(shape)


def sweep(output: Location) -> None:
    """Remove what runs that died were about to write or to delete. Only under the lease.

    Other commands, which know no lease, may be about to write a page or a table beside it.
    """
    leftovers = list(output.glob(".token-*"))
    if is_store(output):
        abort_uploads(output)
    else:
        leftovers += (path for folder in FOLDERS for path in (output / folder).rglob(".*.tmp"))
        leftovers += (path for folder in (".", "report") for path in (output / folder).glob(".*.json.*.tmp"))
    for aside in leftovers:
        aside.unlink(missing_ok=True)
