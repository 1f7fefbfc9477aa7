"""A process's own memory, and its peak of this one, shared by the benchmarks. Linux only."""

from __future__ import annotations

import threading
from pathlib import Path

_EVERY_S = 0.005


def anonymous_bytes(process: Path = Path("/proc/self")) -> int:
    """Memory that belongs to a process alone; pages of mapped files do not count. 0 of one that has ended."""
    lines = (process / "status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


class PeakMemory:
    """A context that samples `anonymous_bytes` every 5 ms; `bytes` is the most it saw."""

    def __enter__(self) -> PeakMemory:
        self.bytes = anonymous_bytes()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(_EVERY_S):
            self.bytes = max(self.bytes, anonymous_bytes())
