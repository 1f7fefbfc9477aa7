"""Whose fault it is when a library cannot make anything of a checkpoint's file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Raise whatever goes wrong inside as a ValueError that names the file."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{path} cannot be used ({error!r}); download it again") from error
