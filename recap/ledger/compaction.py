"""Many small fragments become a few large ones, without a moment at which a record is missing.

A merged file takes the name of the first of its inputs, which are neighbours in the order in which
fragments count. It replaces that one in a single step; the others are deleted afterwards. Whoever
dies in between leaves records twice, of which the first counts, as ever.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from recap.ledger.fragments import FLUSH_ROWS, READERS, is_mark, list_fragments, newest_fragments, open_fragment
from recap.ledger.sealed import Torn, write_sealed
from recap.storage import Location, ahead, remove

log = logging.getLogger(__name__)
MANY = 64
MERGED_ROWS = 32_768
Group = list[tuple[Location, pa.Table]]


def compact(
    folder: Location,
    rows: Mapping[Location, int],
    many: int = MANY,
    merged_rows: int = MERGED_ROWS,
    growing: bool = False,
) -> dict[Location, int]:
    """Merge the small fragments of `folder` when there are more than `many`; the rows of what was written.

    `rows` are those of the fragments that are known; others are taken for small. Only under the lease. While writers
    are at it (`growing`) the last of each stays: a store that did not answer may be given it once more, and that would
    replace what had been merged under its name. Memory holds the records of a few merged files.
    """
    paths = list_fragments(folder)
    whole = {path for path, count in rows.items() if count > merged_rows // 2}
    if growing:
        whole |= set(newest_fragments(folder))  # listed later: behind any other is one that its writer began after it
    runs = [run for run in _runs(paths, whole) if len(run) > 1]
    if sum(map(len, runs)) <= many:
        return {}
    sizes = {}
    for run in runs:
        at_once = merged_rows // max(rows.get(path, FLUSH_ROWS) for path in run)
        for group in _groups(run, merged_rows, max(1, min(READERS, at_once))):
            log.info("%d small fragments become one", len(group))
            sizes[group[0][0]] = _merge(group)
    return sizes


def _runs(paths: Iterable[Location], whole: set[Location]) -> Iterator[list[Location]]:
    """Small fragments that are neighbours. None reaches over a retry mark: a merge would move records across it."""
    run: list[Location] = []
    for path in paths:
        if path in whole or is_mark(path):
            yield run
            run = []
        else:
            run.append(path)
    yield run


def _groups(run: Iterable[Location], merged_rows: int, at_once: int) -> Iterator[Group]:
    """What is worth a merge. A torn one stands between groups, and is left for the reader to set aside."""
    group: Group = []
    rows = 0
    for path, table in ahead(_read, run, at_once):
        if table is None or rows + len(table) > merged_rows:
            yield from _worthwhile(group)
            group, rows = [], 0
        if table is not None:
            group.append((path, table))
            rows += len(table)
    yield from _worthwhile(group)


def _worthwhile(group: Group) -> Iterator[Group]:
    if len(group) > 1:
        yield group


def _read(path: Location) -> tuple[Location, pa.Table | None]:
    try:
        return path, open_fragment(path).read()
    except Torn:
        return path, None


def _merge(group: Group) -> int:
    """Rows in the order of the corpus lie together for whoever reads in it; those of one clip keep theirs."""
    paths, tables = zip(*group, strict=True)
    table = pa.concat_tables(tables)
    order = pa.array(table["ordinal"].to_numpy().argsort(kind="stable"))
    write_sealed(paths[0], table.take(order))
    remove(paths[1:])
    return len(table)
