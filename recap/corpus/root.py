"""The folder that no clip may lie outside of.

Links are followed: a linked file or folder is below the root when its target is. A folder's listing
passes over the files that are not; a manifest's row that names one is refused. `**` in a pattern
does not descend into linked folders.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath


class Root:
    """A corpus root, as it was given and with its own links resolved."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._real = os.path.realpath(folder)
        self._spellings = (os.path.abspath(folder), self._real)
        self._holds_folder: dict[str, bool] = {}

    def inside(self, address: str) -> str:
        """The normalised address relative to the root; ValueError if its words leave it."""
        path = PurePosixPath(address)
        if path.is_absolute():
            path = self._relative(path)
        if ".." in path.parts or "\0" in address or not path.parts:
            raise ValueError(f"the address {address!r} leaves the corpus root: give one below {self.folder}")
        return path.as_posix()

    def _relative(self, path: PurePosixPath) -> PurePosixPath:
        for spelling in self._spellings:
            if path.is_relative_to(spelling):
                return path.relative_to(spelling)
        raise ValueError(f"the address {str(path)!r} is not below the corpus root {self.folder}")

    def holds(self, uri: str) -> bool:
        """Whether `uri` (from `inside`) is still below the root once links are followed."""
        file = os.path.join(self._real, uri)
        if os.path.islink(file):
            return self._within(os.path.realpath(file))
        folder = os.path.dirname(file)
        if folder not in self._holds_folder:
            self._holds_folder[folder] = self._within(os.path.realpath(folder))
        return self._holds_folder[folder]

    def _within(self, real: str) -> bool:
        return real == self._real or real.startswith(os.path.join(self._real, ""))
