"""The folder that no clip may lie outside of.

Links are followed: a linked file or folder is below the root when its target is. A folder's listing
passes over the files that are not, and says so; a manifest's row that names one is refused.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from recap.storage import SCHEMES, Location, is_store, location


class Root:
    """A corpus root, as it was given and with its own links resolved."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._real = os.path.realpath(folder)
        self._spellings = (os.path.abspath(folder), self._real)
        self._holds_folder: dict[str, bool] = {}

    def inside(self, address: str) -> str:
        """The normalised address relative to the root; ValueError if its words leave it."""
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

    def holds(self, uri: str) -> bool:
        """Whether `uri` (from `inside`) is still below the root once links are followed."""
        file = os.path.join(self._real, uri)
        if os.path.islink(file):
            return self.leads_within(file)
        folder = os.path.dirname(file)
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
        prefix = f"{str(self.folder).rstrip('/')}/"
        path = PurePosixPath(address.removeprefix(prefix))
        if path.is_absolute() or "://" in address.removeprefix(prefix):
            raise ValueError(f"the address {address!r} is not below the corpus root {self.folder}")
        return _normalised(path, address, self.folder)

    def holds(self, uri: str) -> bool:
        """Always."""
        return True


def root_of(folder: Location) -> Root | StoreRoot:
    """The root that `folder` is."""
    return StoreRoot(folder) if is_store(folder) else Root(folder)


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
