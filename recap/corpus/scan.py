"""From the settings to one table of clips."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from itertools import islice

import pyarrow as pa

from recap.corpus.duplicates import refuse_duplicates
from recap.corpus.entry import Entry
from recap.corpus.folder import folder_entries
from recap.corpus.identity import clip_id
from recap.corpus.manifest import callers_part, manifest_entries, manifest_root, read_manifest
from recap.corpus.naming import named
from recap.corpus.passed_over import PassedOver
from recap.corpus.settings import CorpusSettings
from recap.corpus.webdataset import webdataset_entries
from recap.records import MISSING
from recap.storage import Location, StoredVersions, is_store, location, resolved, spilled, store_errors

log = logging.getLogger(__name__)
OnListed = Callable[[int], object]
BASE = {
    "clip_id": pa.string(),
    "uri": pa.string(),
    "source_version": pa.string(),
    "start_s": pa.float64(),
    "end_s": pa.float64(),
}
ENTRIES = {"folder": folder_entries, "webdataset": webdataset_entries}
_STEP = 16_384


def corpus_root(settings: CorpusSettings) -> Location:
    """The folder below which every clip lies."""
    return manifest_root(settings) if settings.kind == "manifest" else location(settings.path)


def corpus_identity(settings: CorpusSettings) -> str:
    """What an output is bound to: the kind and the resolved address."""
    return f"{settings.kind}:{resolved(location(settings.path)).as_posix()}"


def scan(
    settings: CorpusSettings,
    tell: Callable[[str], object] = log.warning,
    reserved: Collection[str] = (),
    on_listed: OnListed = lambda _: None,
) -> pa.Table:
    """All clips of the corpus in its own order: `BASE` columns, then the caller's in their own types. They lie on the
    local disk, and not in memory.

    What a folder's listing passed over and may have been meant is told to `tell`, in one line, and `on_listed` how many
    clips there are so far, again and again.

    Raises ValueError for a corpus that is missing, unreadable, empty, or names one clip twice, and for
    caller's columns named like one of `BASE` or of `reserved`.
    """
    try:
        with store_errors(corpus_root(settings)):
            if settings.kind == "manifest":
                return _manifest(settings, reserved, on_listed)
            return _folder(settings, tell, on_listed)
    except OSError as error:
        if not is_store(corpus_root(settings)):
            raise
        raise ValueError(f"corpus.path: {settings.path} cannot be read: {error}") from error


def _folder(settings: CorpusSettings, tell: Callable[[str], object], on_listed: OnListed) -> pa.Table:
    passed, entries_of = PassedOver(settings.path), ENTRIES[settings.kind]
    clips = _clips(entries_of(settings, passed), settings, on_listed)
    if not len(clips):
        said = f"; {passed.all_words()}" if passed.all_words() else ""
        raise ValueError(f"corpus.path: no videos (pattern {settings.pattern!r}) in {settings.path}{said}")
    refuse_duplicates(clips)
    if said := passed.words():
        tell(said)
    return clips


def _manifest(settings: CorpusSettings, reserved: Collection[str], on_listed: OnListed) -> pa.Table:
    manifest = read_manifest(settings)
    callers = named(callers_part(manifest, settings), settings.rename or {}, {*BASE, *reserved})
    clips = _clips(manifest_entries(manifest, settings), settings, on_listed)
    if not len(clips):
        raise ValueError(f"corpus.path: no rows in {settings.path}")
    refuse_duplicates(clips)
    for name, column in zip(callers.column_names, callers.columns, strict=True):
        clips = clips.append_column(name, column)
    return clips


def _clips(entries: Iterator[Entry], settings: CorpusSettings, on_listed: OnListed) -> pa.Table:
    tables = _tables(entries, corpus_root(settings), settings.trust_size)
    return spilled(pa.schema(BASE), _counted(tables, on_listed))


def _counted(tables: Iterator[pa.Table], on_listed: OnListed) -> Iterator[pa.Table]:
    clips = 0
    for table in tables:
        clips += len(table)
        on_listed(clips)
        yield table


def _tables(entries: Iterator[Entry], root: Location, trust_size: bool) -> Iterator[pa.Table]:
    """The clips, a few thousand at a time: as Python objects all of them would fill the memory."""
    versions = _versions(root, trust_size)
    while some := list(islice(entries, _STEP)):
        uris, starts, ends, known = zip(*some, strict=True)
        columns = {
            "clip_id": [*map(clip_id, uris, starts, ends)],
            "uri": uris,
            "source_version": versions(some) if None in known else known,
            "start_s": starts,
            "end_s": ends,
        }
        yield pa.table({name: pa.array(values, BASE[name]) for name, values in columns.items()})


def _versions(root: Location, trust_size: bool) -> Callable[[list[Entry]], list[str]]:
    """What tells the source versions of entries in a store."""
    stored = StoredVersions(root, trust_size)

    def versions(entries: list[Entry]) -> list[str]:
        unknown = iter(stored.of(entry.uri for entry in entries if entry.source_version is None))
        return [entry.source_version or next(unknown) or MISSING for entry in entries]

    return versions
