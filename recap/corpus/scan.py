"""From the settings to one table of clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from recap.corpus.entry import Entry
from recap.corpus.folder import folder_entries
from recap.corpus.identity import clip_id, source_version
from recap.corpus.manifest import callers_part, manifest_entries, manifest_root, read_manifest
from recap.corpus.settings import CorpusSettings
from recap.records import MISSING
from recap.storage import Location, StoredVersions, below, is_store, location, resolved, store_errors

BASE = {
    "clip_id": pa.string(),
    "uri": pa.string(),
    "source_version": pa.string(),
    "start_s": pa.float64(),
    "end_s": pa.float64(),
}
_NO_CLIPS = pa.schema(BASE).empty_table()
_STEP = 4096


def caller_columns(table: pa.Table) -> list[str]:
    """The names of the manifest's own columns in a scanned table."""
    return [name for name in table.column_names if name not in BASE]


def corpus_root(settings: CorpusSettings) -> Location:
    """The folder below which every clip lies."""
    return location(settings.path) if settings.kind == "folder" else manifest_root(settings)


def corpus_identity(settings: CorpusSettings) -> str:
    """What an output is bound to: the kind and the resolved address."""
    return f"{settings.kind}:{resolved(location(settings.path)).as_posix()}"


def scan(settings: CorpusSettings) -> pa.Table:
    """All clips of the corpus in its own order: `BASE` columns, then the caller's in their own types.

    Raises ValueError for a corpus that is missing, unreadable, empty, or names one clip twice, and for
    a caller's column named like one of `BASE`.
    """
    try:
        with store_errors(corpus_root(settings)):
            return _scan(settings)
    except OSError as error:
        if not is_store(corpus_root(settings)):
            raise
        raise ValueError(f"corpus.path: {settings.path} cannot be read: {error}") from error


def _scan(settings: CorpusSettings) -> pa.Table:
    if settings.kind == "folder":
        entries, callers = folder_entries(settings), pa.table({})
    else:
        manifest = read_manifest(settings)
        callers = callers_part(manifest, settings)
        _refuse_ours(callers)
        entries = manifest_entries(manifest, settings)
    clips = pa.concat_tables([_NO_CLIPS, *_tables(entries, corpus_root(settings), settings.trust_size)])
    if not len(clips):
        what = f"videos (pattern {settings.pattern!r})" if settings.kind == "folder" else "rows"
        raise ValueError(f"corpus.path: no {what} in {settings.path}")
    _refuse_duplicates(clips)
    for name, column in zip(callers.column_names, callers.columns, strict=True):
        clips = clips.append_column(name, column)
    return clips


def _refuse_ours(callers: pa.Table) -> None:
    taken = [name for name in callers.column_names if name in BASE]
    if taken:
        raise ValueError(
            f"corpus: the manifest's columns {', '.join(taken)} have names that records use; rename them "
            "(an address or a span can be named in corpus.column, corpus.start_column, corpus.end_column)"
        )


def _tables(entries: Iterator[Entry], root: Location, trust_size: bool) -> Iterator[pa.Table]:
    """The clips, a few thousand at a time: as Python objects all of them would fill the memory."""
    versions = _versions(root, trust_size)
    while some := list(islice(entries, _STEP)):
        columns = {
            "clip_id": [clip_id(entry.uri, entry.start_s, entry.end_s) for entry in some],
            "uri": [entry.uri for entry in some],
            "source_version": versions(some),
            "start_s": [entry.start_s for entry in some],
            "end_s": [entry.end_s for entry in some],
        }
        yield pa.table({name: pa.array(values, BASE[name]) for name, values in columns.items()})


def _versions(root: Location, trust_size: bool) -> Callable[[list[Entry]], list[str]]:
    """What tells the source versions of some entries."""
    if not is_store(root):
        return lambda entries: [source_version(below(root, entry.uri), trust_size) for entry in entries]
    stored = StoredVersions(root, trust_size)

    def versions(entries: list[Entry]) -> list[str]:
        unknown = iter(stored.of(entry.uri for entry in entries if entry.source_version is None))
        return [entry.source_version or next(unknown) or MISSING for entry in entries]

    return versions


def _refuse_duplicates(clips: pa.Table) -> None:
    counts = clips["clip_id"].value_counts()
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(twice):
        row = pc.index(clips["clip_id"], twice[0]).as_py()
        raise ValueError(
            f"corpus: {len(twice)} clips are named more than once, the first {clips['uri'][row].as_py()!r}; "
            "give each address (or span of it) one row"
        )
