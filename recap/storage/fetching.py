"""Local copies of objects for a reader that has no network, one at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recap.records import ClipError
from recap.storage.address import Location, is_store, location
from recap.storage.errors import failure

PREFIX = "recap-fetch-"
TRIES, PAUSE_S = 4, 1.0  # on top of what the store's own library tries
LONGEST_SUFFIX = 16
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class Fetcher:
    """Fetches into a folder of its own below `folder` (the system's temporary one), and deletes afterwards.

    The folder is locked while its owner lives: what a killed one left goes when the next one starts.
    Raises ValueError for a `folder` that is none and cannot be made.
    """

    def __init__(self, folder: str | None = None, max_bytes: int = 2**33):
        self.parent, self.max_bytes = location(folder or tempfile.gettempdir()), max_bytes
        if folder:
            _make(self.parent)
        self._folder: Path | None = None
        self._lock = -1

    @contextmanager
    def local(self, address: str) -> Iterator[str]:
        """Where `address` can be read: a file where it is, an object as a copy that goes at the end.

        Raises ClipError: missing and unreadable, as a file's would be, or of stage `fetch`: too_large, unreachable;
        and OSError, which is not the clip's fault, where there is no room for a copy.
        """
        path = location(address)
        if not is_store(path):
            yield address
            return
        copy = self._place() / f"clip{path.suffix if len(path.suffix) < LONGEST_SUFFIX else ''}"
        try:
            self._fetch(path, copy)
            yield str(copy)
        finally:
            copy.unlink(missing_ok=True)

    def close(self) -> None:
        """Delete the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._folder = None

    def _place(self) -> Path:
        if self._folder is not None and not self._folder.exists():
            self.close()
        if self._folder is None:
            _make(self.parent)
            _sweep(self.parent)
            self._folder, self._lock = _locked_folder(self.parent)
        return self._folder

    def _fetch(self, path: Location, copy: Path) -> None:
        for attempt in range(TRIES):
            try:
                return self._attempt(path, copy)
            except FileNotFoundError:
                raise ClipError("probe", "missing", "there is no file at the clip's address") from None
            except PermissionError:
                raise ClipError("probe", "unreadable", "the file may not be read") from None
            except Exception as error:
                if isinstance(error, OSError) and error.errno in NO_ROOM:
                    said = f"decode.fetch_folder ({self.parent}) has no room for copies of clips: {error.strerror}"
                    raise OSError(error.errno, said) from error
                if failure(error) is None:
                    raise
                time.sleep(PAUSE_S * 2**attempt * (attempt + 1 < TRIES))
        raise ClipError("fetch", "unreachable", "the store did not hand out the object")

    def _attempt(self, path: Location, copy: Path) -> None:
        size = path.fs.info(path.path)["size"]
        if size > self.max_bytes:
            raise ClipError("fetch", "too_large", f"the object has more than decode.fetch_gb ({self.max_bytes} bytes)")
        path.fs.get_file(path.path, str(copy))
        if copy.stat().st_size != size:
            raise OSError(f"{path}: {copy.stat().st_size} of {size} bytes came")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"decode.fetch_folder: {folder} cannot be made: {error.strerror}; name another") from None


def _locked_folder(parent: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        with suppress(FileNotFoundError):  # somebody's sweep was faster than our lock
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _sweep(parent: Path) -> None:
    """Delete the folders whose owners died."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, or gone by now
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
