"""A corpus that is a folder of video files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from recap.corpus.endings import VIDEOS, ending, is_hidden, names_ending
from recap.corpus.entry import Entry
from recap.corpus.looking import looked_at
from recap.corpus.passed_over import PassedOver
from recap.corpus.root import Root
from recap.corpus.settings import CorpusSettings
from recap.corpus.tables import READERS
from recap.corpus.walk import Walk
from recap.corpus.wording import number_of, shown, some_of
from recap.storage import Location, is_folder, is_store, location, stored_files


def folder_entries(settings: CorpusSettings, passed: PassedOver) -> Iterator[Entry]:
    """Every video below `corpus.path` that matches `corpus.pattern`, in the order of their names.

    `passed` counts what is left out. Raises ValueError for a folder that is missing and for names that are not UTF-8.
    """
    folder = location(settings.path)
    if not is_folder(folder):
        raise ValueError(f"corpus.path: {_not_a_folder(folder)}")
    pattern = _glob(settings.pattern)
    if is_store(folder):
        stored = stored_files(folder, pattern, settings.trust_size)
        yield from (Entry(name, source_version=stored[name]) for name in _videos(stored, pattern, passed))
        return
    root, names = Root(folder, settings.trust_size), sorted(_videos(Walk(folder, pattern, passed), pattern, passed))
    _refuse_no_text(names, folder)
    for uri, version in zip(names, looked_at(partial(_version, root), names), strict=True):
        if version is None:
            passed.links.add(uri)
        else:
            yield Entry(uri, source_version=version)


def _version(root: Root, uri: str) -> str | None:
    """None for what a link leads out of the root for."""
    try:
        return root.version(uri)
    except ValueError:
        return None


def _videos(names: Iterable[str], pattern: str, passed: PassedOver) -> Iterator[str]:
    takes_all, takes_hidden = names_ending(pattern), is_hidden(pattern)
    for name in names:
        if is_hidden(name) and not takes_hidden:
            passed.hidden_file(name)
        elif takes_all or ending(name) in VIDEOS:
            yield name
        else:
            passed.file(name)


def _glob(pattern: str) -> str:
    """`pattern` so that a disk and a store read it alike: of a last `**` the files are meant."""
    path = PurePosixPath(pattern)
    return f"{path}/*" if path.name == "**" else str(path)


def _not_a_folder(path: Location) -> str:
    if not path.is_file():
        return f"there is no folder {path}"
    hint = "; for a manifest set `corpus.kind: manifest`" if path.suffix.lower() in READERS else ""
    return f"{path} is a file, not a folder of videos{hint}"


def _refuse_no_text(names: Iterable[str], folder: Path) -> None:
    """Raise ValueError that counts the names no table could hold."""
    odd = [name for name in names if not _is_utf8(name)]
    if odd:
        raise ValueError(
            f"corpus.path: {number_of(len(odd), 'file', 'files')} below {folder} whose names are not UTF-8: "
            f"{some_of(map(shown, odd))}; rename them, or leave them out by corpus.pattern "
            f"(names in Latin-1 are mended by: convmv -f latin1 -t utf8 -r --notest {folder})"
        )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # what os.fsdecode made of other bytes
        return False
    return True
