"""Files that are either wholly there or not there at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OUTPUT_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


class OutputFailed(Exception):
    """The output cannot be written any more: the disk is full or broken. What was committed is intact."""

    def __init__(self, number: int):
        super().__init__(number)
        self.errno = number

    def __str__(self) -> str:
        return f"the output cannot be written: {os.strerror(self.errno)}"


@contextmanager
def output_errors() -> Iterator[None]:
    """Raise OutputFailed for an OSError that says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in OUTPUT_ERRORS:
            raise
        raise OutputFailed(error.errno) from error


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Have `write` fill a temporary neighbour, flush it to the disk, and rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(aside)
        sync(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    sync(path.parent)


def write_json(path: Path, document: Any) -> None:
    """Canonical, human-readable JSON: the same document is the same bytes."""
    text = json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    write_atomically(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> Any | None:
    """The document, or None where there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None


def sweep(output: Path) -> None:
    """Remove what runs that died were about to write or to delete. Only under the lease."""
    for pattern in (".*.tmp", ".token-*"):
        for aside in output.rglob(pattern):
            aside.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
