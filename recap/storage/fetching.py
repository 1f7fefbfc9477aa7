"""Local copies of objects, and of files in tars, for a reader that has no network, one at a time."""

from __future__ import annotations

import errno
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recap.records import ClipError
from recap.storage.address import Location, is_store, location
from recap.storage.archives import StoredMember, in_archive
from recap.storage.errors import ANSWERS, failure
from recap.storage.scratch import locked_folder, remove_locked
from recap.storage.writing import sync

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
        """Where `address` can be read: a file where it is, an object or a file in a tar as a copy that goes at the end.

        Raises ClipError: missing and unreadable, as a file's would be, or of stage `fetch`: too_large, unreachable,
        truncated; and OSError, which is not the clip's fault, where our own disk takes no copy.
        """
        path = location(address)
        if not is_store(path) and not in_archive(path):
            yield address
            return
        copy = self._fetch(path)
        try:
            yield str(copy)
        finally:
            copy.unlink(missing_ok=True)

    def close(self) -> None:
        """Delete the folder."""
        if self._folder is not None:
            remove_locked(self._folder, self._lock)
            self._folder = None

    def _place(self) -> Path:
        if self._folder is not None and not self._folder.exists():
            self.close()
        if self._folder is None:
            _make(self.parent)
            self._folder, self._lock = locked_folder(self.parent, PREFIX)
        return self._folder

    def _fetch(self, path: Location) -> Path:
        """The copy."""
        for attempt in range(TRIES):
            with self._own_disk():
                copy = self._place() / f"clip{path.suffix if len(path.suffix) < LONGEST_SUFFIX else ''}"
            is_begun = False
            try:
                stored = StoredMember(*member) if (member := in_archive(path)) else _StoredObject(path)
                self._require_sound(stored)
                is_begun = True
                _get(stored, copy)
                return copy
            except ClipError:
                raise
            except Exception as error:
                if not is_begun or self._is_sound(copy):
                    self._raise_what_stays(error)
                time.sleep(PAUSE_S * 2**attempt * (attempt + 1 < TRIES))
        raise ClipError("fetch", "unreachable", "the store did not hand out the object")

    def _is_sound(self, copy: Path) -> bool:
        """Whether a copy could be made; False where its folder was cleaned away, of which the next attempt has another.

        What a store says of an object, a disk may have said of the copy.
        """
        with self._own_disk():
            try:
                copy.write_bytes(b"?")
                sync(copy)
                copy.unlink()
            except FileNotFoundError:
                return False
        return True

    @contextmanager
    def _own_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            number = errno.EIO if isinstance(error, ANSWERS) else error.errno
            said = f"decode.fetch_folder ({self.parent}) takes no copies of clips: {error.strerror}"
            raise OSError(number, said) from error

    def _raise_what_stays(self, error: Exception) -> None:
        """Raise what another attempt would not change."""
        match failure(error):
            case None:
                raise error
            case FileNotFoundError():
                raise ClipError("probe", "missing", "there is no file at the clip's address") from None
            case PermissionError():
                raise ClipError("probe", "unreadable", "the file may not be read") from None
            case OSError(errno=number) if number in NO_ROOM:
                with self._own_disk():
                    raise error

    def _require_sound(self, stored: StoredMember | _StoredObject) -> None:
        if stored.size > self.max_bytes:
            raise ClipError("fetch", "too_large", f"the object has more than decode.fetch_gb ({self.max_bytes} bytes)")
        if not stored.is_whole:
            raise ClipError("fetch", "truncated", "the tar that the clip is in breaks off within it")


class _StoredObject:
    is_whole = True

    def __init__(self, path: Location):
        self.path, self.size = path, path.fs.info(path.path)["size"]

    def save(self, copy: Path) -> None:
        self.path.fs.get_file(self.path.path, str(copy))


def _get(stored: StoredMember | _StoredObject, copy: Path) -> None:
    stored.save(copy)
    if (came := copy.stat().st_size if copy.exists() else 0) != stored.size:
        raise OSError(f"{came} of {stored.size} bytes came")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"decode.fetch_folder: {folder} cannot be made: {error.strerror}; name another") from None
