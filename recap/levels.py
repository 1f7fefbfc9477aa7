"""The level of a logger while something lasts, in several threads at once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_LOCK, _USERS, _BEFORE = Lock(), Counter(), {}


@contextmanager
def at_level(name: str, level: int) -> Iterator[None]:
    """Have the logger `name` at `level`; when the last that asked so is done it is as before the first."""
    logger = logging.getLogger(name)
    with _LOCK:
        if not _USERS[name]:
            _BEFORE[name] = logger.level
        _USERS[name] += 1
        logger.setLevel(level)
    try:
        yield
    finally:
        with _LOCK:
            _USERS[name] -= 1
            if not _USERS[name]:
                logger.setLevel(_BEFORE.pop(name))
