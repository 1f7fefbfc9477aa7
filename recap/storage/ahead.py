"""Several reads at a time: a store, or a network's file system, takes as long over one as over several."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Item, Found = TypeVar("Item"), TypeVar("Found")


def ahead(read: Callable[[Item], Found], items: Iterable[Item], at_once: int) -> Iterator[Found]:
    """What `read` finds of each item, in their order; what it raises is raised in its turn.

    At most `at_once` items are read, or wait to be taken, at a time.
    """
    reading: deque[Future[Found]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        for item in items:
            reading.append(pool.submit(copy_context().run, read, item))
            if len(reading) == at_once:
                yield reading.popleft().result()
        for each in reading:
            yield each.result()
