"""What a store holds, by as few requests as a listing takes: one for a thousand objects."""

from __future__ import annotations

import glob
import posixpath
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from recap.storage.address import Location
from recap.storage.errors import store_errors

LISTERS = 16


def stored_files(folder: Location, pattern: str, trust_size: bool = False) -> dict[str, str]:
    """Names below `folder` that match the glob `pattern`, in their order, each with its source version.

    Raises ValueError for an object whose name no path has.
    """
    root = f"{folder.path.rstrip('/')}/"
    with store_errors(folder):
        found = folder.fs.glob(glob.escape(root) + pattern, detail=True)
    files = {name.removeprefix(root): about for name, about in found.items() if about["type"] == "file"}
    for name in files:
        if name != posixpath.normpath(name):
            raise ValueError(f"{root}{name}: no file could have this object's name; give it another one")
    return {name: stored_version(files[name], trust_size) for name in sorted(files)}


class StoredVersions:
    """Source versions of objects below `root`. Lists the folders that they are in, each once."""

    def __init__(self, root: Location, trust_size: bool = False):
        self.root, self.trust_size = root, trust_size
        self._folders: dict[str, dict[str, str]] = {}

    def of(self, uris: Iterable[str]) -> list[str | None]:
        """The version of each, None for what is not there."""
        places = [posixpath.split(uri) for uri in uris]
        unknown = dict.fromkeys(folder for folder, _ in places if folder not in self._folders)
        with ThreadPoolExecutor(LISTERS) as pool:
            self._folders |= zip(unknown, pool.map(self._list, unknown), strict=True)
        return [self._folders[folder].get(name) for folder, name in places]

    def _list(self, folder: str) -> dict[str, str]:
        place = self.root / folder if folder else self.root
        try:
            with store_errors(place):
                found = place.fs.ls(place.path, detail=True)
        except FileNotFoundError:
            return {}
        return {
            posixpath.basename(about["name"]): stored_version(about, self.trust_size)
            for about in found
            if about["type"] == "file"
        }


def stored_version(about: Mapping[str, Any], trust_size: bool = False) -> str:
    """Size and what the store has for a digest: Google's etag would change with an object's metadata, too."""
    tag = str(next((about[name] for name in ("ETag", "md5Hash", "crc32c", "etag") if about.get(name)), "")).strip('"')
    return str(about["size"]) if trust_size or not tag else f"{about['size']}-{tag}"
