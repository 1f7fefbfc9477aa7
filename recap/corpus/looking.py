"""Looks at many files: several at a time where each is a round trip, as on a network's file system."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item, Found = TypeVar("Item"), TypeVar("Found")
LOOKERS = 32
SLOW_S = 1e-4  # where a look takes less, threads would only be in each other's way
_TRIED, _SHARE = 32, 128  # looks that show how long one takes, and those that a thread is then given


def looked_at(look: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """What `look` finds of each item, in their order; of what it raises, the first."""

    def all_of(some: list[Item]) -> list[Found]:
        return [look(item) for item in some]

    rest = iter(items)
    with ThreadPoolExecutor(LOOKERS) as pool:
        while tried := list(islice(rest, _TRIED)):
            started = time.monotonic()
            found = all_of(tried)
            is_slow = time.monotonic() - started > SLOW_S * len(tried)
            yield from found
            shares = [list(islice(rest, _SHARE)) for _ in range(LOOKERS * is_slow)]
            for found in pool.map(all_of, shares):
                yield from found
