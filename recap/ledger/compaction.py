"""Many small fragments become a few large ones, without a moment at which a record is missing.

A merged file takes the name of the first of its inputs, which are neighbours in the order in which
fragments count. It replaces that one in a single step; the others are deleted afterwards. Whoever
dies in between leaves records twice, of which the first counts, as ever.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pyarrow as pa

from recap.ledger.fragments import is_mark, list_fragments, open_fragment, set_aside
from recap.ledger.sealed import Torn, write_sealed
from recap.storage import Location

log = logging.getLogger(__name__)
MANY = 64
MERGED_ROWS = 32_768


def compact(folder: Location, many: int = MANY, merged_rows: int = MERGED_ROWS) -> None:
    """Merge the small fragments of `folder` when there are more than `many`.

    Only under the lease. Memory holds the records of one merged file.
    """
    groups = list(_groups(folder, merged_rows))
    small = sum(map(len, groups))
    if small <= many:
        return
    for group in groups:
        _merge(group)
    log.info("%d small fragments became %d", small, len(groups))


def _groups(folder: Location, merged_rows: int) -> Iterator[list[Location]]:
    """Neighbours that are worth a merge. No group reaches over a retry mark: it would move records across it."""
    group: list[Location] = []
    rows = 0
    for path in list_fragments(folder, set_aside):
        count = None if is_mark(path) else _rows(path)
        if count is None or rows + count > merged_rows or count > merged_rows // 2:
            yield from _worthwhile(group)
            group, rows = [], 0
        if count is not None and count <= merged_rows // 2:
            group.append(path)
            rows += count
    yield from _worthwhile(group)


def _worthwhile(group: list[Location]) -> Iterator[list[Location]]:
    if len(group) > 1:
        yield group


def _rows(path: Location) -> int | None:
    """None for a torn one, which is left for the reader to set aside."""
    try:
        return open_fragment(path).metadata.num_rows
    except Torn:
        return None


def _merge(group: list[Location]) -> None:
    table = pa.concat_tables([open_fragment(path).read() for path in group])
    write_sealed(group[0], table)
    for path in group[1:]:
        path.unlink()
