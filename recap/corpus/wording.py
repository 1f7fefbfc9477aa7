"""How messages show names, of which there may be many and which may be no text."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice

_SHOWN = 5


def number_of(count: int, one: str, many: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {one if count == 1 else many}"


def some_of(names: Iterable[str]) -> str:
    """The first few of them."""
    first = list(islice(names, _SHOWN + 1))
    return ", ".join(first[:_SHOWN]) + (", …" if len(first) > _SHOWN else "")


def shown(name: str) -> str:
    """`name` with the bytes that are no text as escapes."""
    return os.fsencode(name).decode(errors="backslashreplace")
