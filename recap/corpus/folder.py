"""A corpus that is a folder of video files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from recap.corpus.entry import Entry
from recap.corpus.manifest import READERS
from recap.corpus.root import Root
from recap.corpus.settings import CorpusSettings
from recap.storage import Location, is_folder, is_store, location, stored_files

log = logging.getLogger(__name__)
EXTENSIONS = frozenset(".3gp .avi .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split())


def folder_entries(settings: CorpusSettings) -> Iterator[Entry]:
    """Every video below `corpus.path` that matches `corpus.pattern`, in the order of their names.

    Raises ValueError for a folder that is missing and for a name that is not UTF-8.
    """
    folder = location(settings.path)
    if not is_folder(folder):
        raise ValueError(f"corpus.path: {_not_a_folder(folder)}")
    if is_store(folder):
        yield from _stored_videos(folder, settings)
        return
    _tell_of_closed_folders(folder)
    root = Root(folder)
    uris = (root.inside(_require_utf8(name)) for name in _video_names(folder, _glob(settings.pattern)))
    yield from (Entry(uri) for uri in uris if root.holds(uri))


def _stored_videos(folder: Location, settings: CorpusSettings) -> Iterator[Entry]:
    for name, version in stored_files(folder, _glob(settings.pattern), settings.trust_size).items():
        if PurePosixPath(name).suffix.lower() in EXTENSIONS:
            yield Entry(name, source_version=version)


def _glob(pattern: str) -> str:
    """`pattern` so that a disk and a store read it alike: of a last `**` the files are meant."""
    path = PurePosixPath(pattern)
    return f"{path}/*" if path.name == "**" else str(path)


def _not_a_folder(path: Location) -> str:
    if not path.is_file():
        return f"there is no folder {path}"
    hint = "; for a manifest set `corpus.kind: manifest`" if path.suffix.lower() in READERS else ""
    return f"{path} is a file, not a folder of videos{hint}"


def _video_names(folder: Path, pattern: str) -> list[str]:
    try:
        videos = [file for file in folder.glob(pattern) if file.suffix.lower() in EXTENSIONS and not file.is_dir()]
    except (OSError, ValueError) as error:
        raise ValueError(f"corpus.pattern: cannot list {pattern!r} below {folder}: {error}") from error
    return sorted(file.relative_to(folder).as_posix() for file in videos)


def _tell_of_closed_folders(folder: Path) -> None:
    """A glob passes over them without a word, and their clips would count as vanished."""
    closed: list[OSError] = []
    for _ in os.walk(folder, onerror=closed.append):
        pass
    if closed:
        log.warning("folders that cannot be read, nor their clips be seen: %d; the first: %s", len(closed), closed[0])


def _require_utf8(name: str) -> str:
    raw = os.fsencode(name)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        shown = raw.decode(errors="backslashreplace")
        raise ValueError(f"corpus.path: the file name {shown} is not UTF-8; rename it") from None
