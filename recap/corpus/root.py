"""The folder that no clip may lie outside of.

Links are followed: a linked file or folder is below the root when its target is. A folder's listing
passes over the files that are not, and says so; a manifest's row that names one is refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path, PurePosixPath

from recap.corpus.identity import source_version
from recap.storage import SCHEMES, Location, is_store, location

_REMEMBERED = 65_536  # spans of one file tend to stand near each other


class Root:
    """A corpus root, as it was given and with its own links resolved.

    `version` gives the source version of the file at an address from `inside`, with `trust_size` its size alone. It
    raises ValueError where a link leads out of the root.
    """

    def __init__(self, folder: Path, trust_size: bool = False):
        self.folder, self._trust_size = folder, trust_size
        self._real = os.path.realpath(folder)
        self._spellings = (os.path.abspath(folder), self._real)
        self._before = [os.path.join(spelling, "") for spelling in self._spellings]
        self._holds_folder: dict[str, bool] = {}
        self.version = lru_cache(_REMEMBERED)(self._version)

    def inside(self, address: str) -> str:
        """The normalised address relative to the root; ValueError if its words leave it."""
        rest = next((address[len(before) :] for before in self._before if address.startswith(before)), address)
        if _is_normal(rest):
            return rest
        scheme, is_url, _ = address.partition("://")
        if is_url and "/" not in scheme and scheme != "file":
            raise ValueError(f"the address {address!r} is not below {self.folder}; {_way_to(scheme)}")
        path = PurePosixPath(str(location(address)) if address.startswith("file://") else address)
        return _normalised(self._relative(path) if path.is_absolute() else path, address, self.folder)

    def _relative(self, path: PurePosixPath) -> PurePosixPath:
        for spelling in self._spellings:
            if path.is_relative_to(spelling):
                return path.relative_to(spelling)
        raise ValueError(f"the address {str(path)!r} is not below the corpus root {self.folder}")

    def _version(self, uri: str) -> str:
        file = os.path.join(self._real, uri)
        found = _found(file, os.lstat)
        is_link = found is not None and stat.S_ISLNK(found.st_mode)
        if not (self.leads_within(file) if is_link else self._holds(os.path.dirname(file))):
            raise ValueError(f"the address {uri!r} leads, by a link, out of the corpus root {self.folder}")
        return source_version(_found(file, os.stat) if is_link else found, self._trust_size)

    def _holds(self, folder: str) -> bool:
        if folder not in self._holds_folder:
            self._holds_folder[folder] = self.leads_within(folder)
        return self._holds_folder[folder]

    def leads_within(self, path: str) -> bool:
        """Whether `path` is the root, or below it, once links are followed."""
        real = os.path.realpath(path)
        return real == self._real or real.startswith(os.path.join(self._real, ""))


class StoreRoot:
    """A corpus root in an object store, where no link leads anywhere."""

    def __init__(self, folder: Location):
        self.folder = folder

    def inside(self, address: str) -> str:
        """As `Root.inside`; a full URL must begin with the root's."""
        rest = address.removeprefix(f"{str(self.folder).rstrip('/')}/")
        if _is_normal(rest):
            return rest
        path = PurePosixPath(rest)
        if path.is_absolute() or "://" in rest:
            raise ValueError(f"the address {address!r} is not below the corpus root {self.folder}")
        return _normalised(path, address, self.folder)

    def version(self, uri: str) -> None:
        """Not known: one listing tells a store's for many."""


def root_of(folder: Location, trust_size: bool = False) -> Root | StoreRoot:
    """The root that `folder` is."""
    return StoreRoot(folder) if is_store(folder) else Root(folder, trust_size)


def _found(file: str, look: Callable[[str], os.stat_result]) -> os.stat_result | None:
    try:
        return look(file)
    except OSError:
        return None


def _is_normal(address: str) -> bool:
    """Whether `_normalised` would certainly give it back: most are, and the question costs a tenth of that."""
    odd = "//" in address or "/." in address or ":" in address or "\0" in address
    return not odd and address != "" and address[0] not in "/." and address[-1] != "/"


def _normalised(path: PurePosixPath, address: str, folder: Location) -> str:
    if ".." in path.parts:
        raise ValueError(f"the address {address!r} may leave the corpus root: write it without `..`")
    if "\0" in address or not path.parts:
        raise ValueError(f"the address {address!r} leaves the corpus root: give one below {folder}")
    return path.as_posix()


def _way_to(scheme: str) -> str:
    if scheme in SCHEMES:
        return f"set corpus.root to a {scheme}:// folder"
    return f"clips are read from disks and from {', '.join(f'{known}://' for known in SCHEMES)}: copy them there"
