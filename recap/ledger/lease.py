"""One writer at a time: the lease, and the epoch that numbers its fragments."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def lease(output: Path) -> Iterator[int]:
    """Hold `<output>/lease.lock` and yield this run's epoch, one above every earlier run's.

    The kernel frees the lock when its holder dies, however it dies. Raises ValueError when
    another run holds it.
    """
    descriptor = _open(output)
    try:
        _lock(descriptor, output)
        yield _next_epoch(descriptor)
    finally:
        os.close(descriptor)


def _open(output: Path) -> int:
    try:
        output.mkdir(parents=True, exist_ok=True)
        return os.open(output / "lease.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ValueError(f"output.path: cannot write to {output} ({error.strerror}); name a writable folder") from None


def _lock(descriptor: int, output: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(
            f"output.path: another run is writing to {output}; wait for it, stop it, or choose another folder"
        ) from None


def _next_epoch(descriptor: int) -> int:
    epoch = int(os.pread(descriptor, 32, 0) or b"0") + 1
    os.pwrite(descriptor, f"{epoch:06d}\n".encode(), 0)
    os.fsync(descriptor)
    return epoch
