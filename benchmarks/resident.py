"""The peak of this process's own memory, shared by the benchmarks. Linux only."""

from __future__ import annotations

import threading
from pathlib import Path

_STATUS = Path("/proc/self/status")
_EVERY_S = 0.005


def anonymous_bytes() -> int:
    """Memory that belongs to this process alone; pages of mapped files do not count."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


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
