"""One clip as a corpus lists it, before it has an ordinal."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """`uri` is relative to the corpus root; `start_s`/`end_s` are seconds, None for the ends of the file.

    `source_version` is None where a store is to be asked for it.
    """

    uri: str
    start_s: float | None = None
    end_s: float | None = None
    source_version: str | None = None
