"""Whose fault it is when a library cannot make anything of a checkpoint's file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Raise what a library says of a file as a ValueError that names it; the machine's own errors pass."""
    try:
        yield
    except (MemoryError, OSError):
        raise
    except Exception as error:
        raise ValueError(
            f"{path} cannot be used ({error!r}): is it damaged, or of a kind that recap does not know?"
        ) from error
