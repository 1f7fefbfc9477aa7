"""Files in tars, read where they lie: `folder/clips.tar!/clip.mp4` is the address of one."""

from __future__ import annotations

import errno
import io
import os
import posixpath
import re
import tarfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from recap.storage.address import Location, is_store, location
from recap.storage.errors import store_errors
from recap.storage.listing import stored_version

_MARK = "!/"
_MEMBER = re.compile(rf"(\.tar){_MARK}", re.IGNORECASE)
_BLOCK = 2**16  # what a store is asked for at once while headers are read
_LONGEST_HEADER = 2**20
_CHUNK = 2**26
_OPEN = 4


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar: `size` bytes of it from `offset` on. `name` is below the tar as if that was a folder."""

    name: str
    offset: int
    size: int


def member_address(archive: str, name: str) -> str:
    """What names the member `name` of the tar at `archive`."""
    return f"{archive}{_MARK}{name}"


def in_archive(address: str | Location) -> tuple[Location, str] | None:
    """The tar, and the member's name in it; None for what is no member."""
    found = _MEMBER.search(text := str(address))
    if found is None or os.path.exists(text):  # a folder that happens to be called so
        return None
    return location(text[: found.start()] + found[1]), text[found.end() :]


def file_of(address: str | Location) -> Location:
    """What lies there on the disk or in the store: of a member, its tar."""
    member = in_archive(address)
    return member[0] if member else location(address)


def members(archive: Location) -> Iterator[Member]:
    """The files in a tar, in its order.

    Raises tarfile.TarError where it is damaged, broken off or compressed, and OSError where it cannot be read.
    """
    opened = _Archive(archive)
    while (member := opened.next()) is not None:
        yield member


class StoredMember:
    """The bytes of a member. Raises FileNotFoundError where the tar, or the member in it, is not there any more."""

    def __init__(self, archive: Location, name: str):
        self.archive = archive
        with store_errors(archive):
            there, *_ = state = _state(archive)
            self._opened = _opened(str(archive), state)
        self._member = self._opened.find(name)
        self.size = self._member.size
        self.is_whole = self._member.offset + self.size <= there

    def save(self, copy: Path) -> None:
        """Write them to `copy`."""
        with copy.open("wb") as out:
            out.writelines(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """All of them; fewer where the tar breaks off."""
        start, end = self._member.offset, self._member.offset + self.size
        with store_errors(self.archive):
            for first in range(start, end, _CHUNK):
                yield self._opened.read(first, min(_CHUNK, end - first))


class _Archive:
    """Headers are read from the first on, as far as somebody asks."""

    def __init__(self, path: Location):
        self.path = path
        with store_errors(path), _damage():
            self._file = path.fs.open(path.path, block_size=_BLOCK) if is_store(path) else path.open("rb")
            weakref.finalize(self, self._file.close)
            self._tar = tarfile.TarFile(fileobj=_Headers(self._file), encoding="utf-8")
        self._end = 0  # of what was read
        self._known: dict[str, Member] = {}
        self._lock = threading.Lock()

    def next(self) -> Member | None:
        """The next file in it; None behind the last."""
        while (found := self._header()) is not None:
            if found.isfile():
                return Member(posixpath.normpath("/" + found.name.lstrip("/"))[1:], found.offset_data, found.size)
        return None

    def find(self, name: str) -> Member:
        """By its name."""
        with self._lock:
            try:
                while name not in self._known and (member := self.next()) is not None:
                    self._known[member.name] = member
                return self._known[name]
            except (KeyError, tarfile.TarError) as error:
                raise FileNotFoundError(errno.ENOENT, f"no such file in {self.path}", name) from error

    def read(self, offset: int, size: int) -> bytes:
        """Some of its bytes; fewer where it ends."""
        if is_store(self.path):
            return self.path.fs.cat_file(self.path.path, start=offset, end=offset + size)
        return os.pread(self._file.fileno(), size, offset)

    def _header(self) -> tarfile.TarInfo | None:
        with store_errors(self.path), _damage():
            found = self._tar.next()
            self._tar.members.clear()  # it would keep them all
            if found is None:
                self._require_end()
            elif found.issparse() or found.size < 0 or self._tar.offset <= self._end:
                raise tarfile.ReadError(f"{found.name!r} cannot be read where it lies")
            self._end = self._tar.offset
            return found

    def _require_end(self) -> None:
        """A damaged header is an end to tarfile."""
        self._file.seek(self._tar.offset)
        if self._file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError(f"there is no header at byte {self._tar.offset}")


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (ValueError, OverflowError, RecursionError) as error:
        raise tarfile.ReadError(f"a header without sense: {error}") from error


class _Headers(io.RawIOBase):
    """A file of which only headers are read: none of a size that fills the memory is believed."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header says that it has {size} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


@lru_cache(_OPEN)
def _opened(address: str, state: tuple[int, object]) -> _Archive:
    """The tar that had this `state`: another one in its place is read anew."""
    return _Archive(location(address))


def _state(archive: Location) -> tuple[int, object]:
    """How long it is, and what tells it from another."""
    if is_store(archive):
        about = archive.fs.info(archive.path)
        return about["size"], stored_version(about)
    found = archive.stat()
    return found.st_size, found.st_mtime_ns
