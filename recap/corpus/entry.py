"""One clip as a corpus lists it, before it has an ordinal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """`uri` is relative to the corpus root; `start_s`/`end_s` are seconds, None for the ends of the file.

    `source_version` is known where listing told it.
    """

    uri: str
    start_s: float | None = None
    end_s: float | None = None
    source_version: str | None = None
