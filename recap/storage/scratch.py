"""Folders of one process's own, locked while it lives: what a killed one left goes when the next one starts."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_held: set[Path] = set()


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A folder among the system's temporary ones that goes at the end."""
    folder, lock = locked_folder(Path(tempfile.gettempdir()), prefix)
    try:
        yield folder
    finally:
        remove_locked(folder, lock)


def locked_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    """A new folder below `parent` and its lock; those of dead owners are deleted first."""
    _sweep(parent, prefix)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with suppress(FileNotFoundError):  # somebody's sweep was faster than our lock
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                _held.add(folder)
                return folder, lock
            os.close(lock)


def remove_locked(folder: Path, lock: int) -> None:
    """Delete what `locked_folder` gave."""
    shutil.rmtree(folder, ignore_errors=True)
    _held.discard(folder)
    os.close(lock)


def abandon_scratch() -> None:
    """Delete all that this process still has of them; for one that ends without waiting for its threads."""
    for folder in tuple(_held):
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        with suppress(OSError):  # another user's, or gone by now
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
