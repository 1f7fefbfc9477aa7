"""A corpus that is a folder of video files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from recap.corpus.endings import is_hidden, is_tar, is_video, names_ending
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
    takes_all = names_ending(settings.pattern)
    return files_below(settings, passed, lambda name: takes_all or is_video(name))


def files_below(settings: CorpusSettings, passed: PassedOver, is_wanted: Callable[[str], bool]) -> Iterator[Entry]:
    """As `folder_entries`, those whose names are wanted."""
    folder = location(settings.path)
    if not is_folder(folder):
        raise ValueError(f"corpus.path: {_not_a_folder(folder)}")
    pattern = _glob(settings.pattern)
    takes_hidden = is_hidden(pattern)
    if is_store(folder):
        stored = stored_files(folder, pattern, settings.trust_size)
        yield from (Entry(n, source_version=stored[n]) for n in stored if passed.takes(n, is_wanted, takes_hidden))
        return
    root, found = Root(folder, settings.trust_size), Walk(folder, pattern, passed)
    names = sorted(name for name in found if passed.takes(name, is_wanted, takes_hidden))
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


def _glob(pattern: str) -> str:
    """`pattern` so that a disk and a store read it alike: of a last `**` the files are meant."""
    path = PurePosixPath(pattern)
    return f"{path}/*" if path.name == "**" else str(path)


def _not_a_folder(path: Location) -> str:
    if not path.is_file():
        return f"there is no folder {path}"
    hint = "; for a manifest set `corpus.kind: manifest`" if path.suffix.lower() in READERS else ""
    if is_tar(path.name):
        hint = f"; set `corpus.path: {path.parent}`, `corpus.kind: webdataset` and `corpus.pattern: {path.name}`"
    return f"{path} is a file, not a folder of videos{hint}"


def _refuse_no_text(names: Iterable[str], folder: Path) -> None:
    """Raise ValueError that counts the names no table could hold."""
    odd = [name for name in names if not is_utf8(name)]
    if odd:
        raise ValueError(
            f"corpus.path: {number_of(len(odd), 'file', 'files')} below {folder} whose names are not UTF-8: "
            f"{some_of(map(shown, odd))}; rename them, or leave them out by corpus.pattern "
            f"(names in Latin-1 are mended by: convmv -f latin1 -t utf8 -r --notest {folder})"
        )


def is_utf8(name: str) -> bool:
    """Whether a table can hold it."""
    try:
        name.encode()
    except UnicodeEncodeError:  # what os.fsdecode made of other bytes
        return False
    return True
