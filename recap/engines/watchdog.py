"""Notices that work which has begun does not end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

UNWATCHED: AbstractContextManager = nullcontext()


class Watchdog:
    """Calls `on_stall`, once and on a thread of its own, when a `with` block over it lasts longer than `stall_s`."""

    def __init__(self, stall_s: float, on_stall: Callable[[], None]):
        self._stall_s, self._on_stall = stall_s, on_stall
        self._since: float | None = None
        self._done = threading.Event()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_) -> None:
        self._since = None

    def close(self) -> None:
        """Watch no longer."""
        self._done.set()

    def _watch(self) -> None:
        while not self._done.wait(min(1.0, self._stall_s / 4)):
            now, since = time.monotonic(), self._since  # in this order: a block may end in between
            if since is not None and now - since > self._stall_s:
                self._on_stall()
                return
