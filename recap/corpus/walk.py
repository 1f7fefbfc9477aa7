"""The files below a folder that match a glob, in one pass over it."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from recap.corpus.passed_over import PassedOver
from recap.corpus.root import Root

Places = frozenset[int]  # of the pattern's parts, which may be the next name's


class Walk:
    """Names below `folder`, relative to it and in no order, of files that match `pattern`.

    Linked folders are entered where a part of the pattern names them, and not by `**`, which could go round in
    circles: those that lead out of where it looks are told to `passed`, as folders are that cannot be read.
    """

    def __init__(self, folder: Path, pattern: str, passed: PassedOver):
        parts = PurePosixPath(pattern).parts
        self._folder, self._passed = folder, passed
        self._parts = [None if part == "**" else _matcher(part) for part in parts]
        self._looked_at = Root(folder.joinpath(*_fixed(parts)))

    def __iter__(self) -> Iterator[str]:
        to_do = [("", self._reached({0}))]
        while to_do:
            below, places = to_do.pop()
            for entry in self._entries(below):
                name = below + entry.name
                matched = {place + 1 for place in places if (matches := self._parts[place]) and matches(entry.name)}
                if not _is_folder(entry):
                    if len(self._parts) in matched:
                        yield name
                elif inside := self._reached(matched | self._deeper(places, entry, name)):
                    to_do.append((f"{name}/", inside))

    def _entries(self, below: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(self._folder / below) as entries:
                yield from entries
        except OSError as error:
            self._passed.closed.add(f"{below.rstrip('/') or '.'}: {error.strerror}")

    def _deeper(self, places: Places, entry: os.DirEntry[str], name: str) -> set[int]:
        """The places of `**`, which any folder may stand for that is no link."""
        any_folder = {place for place in places if self._parts[place] is None}
        if not entry.is_symlink():
            return any_folder
        if any_folder and not self._looked_at.leads_within(entry.path):
            self._passed.links.add(name)
        return set()

    def _reached(self, places: Iterable[int]) -> Places:
        """`places`, and those behind a `**` that stands for no folder at all."""
        reached = set(places)
        for place, matches in enumerate(self._parts):
            if matches is None and place in reached:
                reached.add(place + 1)
        return frozenset(reached - {len(self._parts)})


def _matcher(part: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(fnmatch.translate(part)).fullmatch


def _fixed(parts: tuple[str, ...]) -> list[str]:
    """The folders that a pattern names before its first wildcard."""
    ends = next((place for place, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
    return list(parts[: min(ends, len(parts) - 1)])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()
