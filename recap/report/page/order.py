"""Which rows deserve a look first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Any

from recap.records import CAPTIONED
from recap.review import FAIL

Row = Mapping[str, Any]


def worst_first(rows: Iterable[Row], count: int) -> list[Row]:
    """The `count` worst of `rows`, of which no more are held at any time.

    First what is quarantined or filtered or fails, then what has a flag, both by score from below, then the rest.
    Among equals the corpus's order decides.
    """
    return heapq.nsmallest(count, rows, key=_place)


def _place(row: Row) -> tuple[int, float, int]:
    if row["status"] != CAPTIONED or any(caption["verdict"] == FAIL for caption in row["captions"]):
        return 0, _score(row), row["ordinal"]
    if row["flags"] or any(caption["flags"] for caption in row["captions"]):
        return 1, _score(row), row["ordinal"]
    return 2, 0.0, row["ordinal"]


def _score(row: Row) -> float:
    """That of the worst caption or translation, from 0 to 1: 0 where there is none, 1 for what nobody reviewed."""
    return min((max(caption["scores"], default=1.0) for caption in row["captions"]), default=0.0)
