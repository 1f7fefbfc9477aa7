"""From the settings to one table of clips."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa

from recap.corpus.entry import Entry
from recap.corpus.folder import folder_entries
from recap.corpus.identity import clip_id, source_version
from recap.corpus.manifest import callers_part, manifest_entries, manifest_root, read_manifest
from recap.corpus.settings import CorpusSettings

BASE = {
    "clip_id": pa.string(),
    "uri": pa.string(),
    "source_version": pa.string(),
    "start_s": pa.float64(),
    "end_s": pa.float64(),
}


def caller_columns(table: pa.Table) -> list[str]:
    """The names of the manifest's own columns in a scanned table."""
    return [name for name in table.column_names if name not in BASE]


def corpus_root(settings: CorpusSettings) -> Path:
    """The folder below which every clip lies."""
    return Path(settings.path) if settings.kind == "folder" else manifest_root(settings)


def corpus_identity(settings: CorpusSettings) -> str:
    """What an output is bound to: the kind and the resolved address."""
    return f"{settings.kind}:{Path(settings.path).resolve().as_posix()}"


def scan(settings: CorpusSettings) -> pa.Table:
    """All clips of the corpus in its own order: `BASE` columns, then the caller's in their own types.

    Raises ValueError for a corpus that is missing, unreadable, empty, or names one clip twice, and for
    a caller's column named like one of `BASE`.
    """
    if settings.kind == "folder":
        entries, callers = folder_entries(settings), pa.table({})
    else:
        manifest = read_manifest(settings)
        callers = callers_part(manifest, settings)
        _refuse_ours(callers)
        entries = manifest_entries(manifest, settings)
    if not entries:
        what = f"videos (pattern {settings.pattern!r})" if settings.kind == "folder" else "rows"
        raise ValueError(f"corpus.path: no {what} in {settings.path}")
    table = _table(entries, callers, corpus_root(settings), settings.trust_size)
    _refuse_duplicates(table)
    return table


def _refuse_ours(callers: pa.Table) -> None:
    taken = [name for name in callers.column_names if name in BASE]
    if taken:
        raise ValueError(
            f"corpus: the manifest's columns {', '.join(taken)} have names that records use; rename them "
            "(an address or a span can be named in corpus.column, corpus.start_column, corpus.end_column)"
        )


def _table(entries: list[Entry], callers: pa.Table, root: Path, trust_size: bool) -> pa.Table:
    columns = {
        "clip_id": [clip_id(entry.uri, entry.start_s, entry.end_s) for entry in entries],
        "uri": [entry.uri for entry in entries],
        "source_version": [source_version(root / entry.uri, trust_size) for entry in entries],
        "start_s": [entry.start_s for entry in entries],
        "end_s": [entry.end_s for entry in entries],
    }
    arrays = {name: pa.array(values, BASE[name]) for name, values in columns.items()}
    return pa.table(arrays | dict(zip(callers.column_names, callers.columns, strict=True)))


def _refuse_duplicates(table: pa.Table) -> None:
    twice = [clip for clip, count in Counter(table["clip_id"].to_pylist()).items() if count > 1]
    if twice:
        row = table["clip_id"].to_pylist().index(twice[0])
        raise ValueError(
            f"corpus: {len(twice)} clips are named more than once, the first {table['uri'][row].as_py()!r}; "
            "give each address (or span of it) one row"
        )
