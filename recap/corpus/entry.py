"""One clip as a corpus lists it, before it has an ordinal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """`uri` is relative to the corpus root; `start_s`/`end_s` are seconds or None; `extra` the caller's."""

    uri: str
    start_s: float | None = None
    end_s: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
