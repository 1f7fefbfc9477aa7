"""One writer at a time: the lease, and the epoch that numbers its fragments."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from recap.ledger.files import read_json, write_json
from recap.ledger.fragments import fragment_order, list_fragments

HOLDER = "lease.json"
PATIENCE_S = 1.0  # whoever only looks at the lock holds it for an instant


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, or died holding it. `since` is ISO 8601 in UTC."""

    epoch: int
    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}, since {self.since}"


@contextmanager
def lease(output: Path) -> Iterator[int]:
    """Hold `<output>/lease.lock` and yield this run's epoch, one above every earlier run's.

    The kernel frees the lock when its holder dies, however it dies. Raises ValueError when
    another run holds it.
    """
    descriptor = _open(output)
    try:
        _lock(descriptor, output)
        epoch = _next_epoch(descriptor, output)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(output / HOLDER, asdict(Holder(epoch, os.getpid(), socket.gethostname(), now)))
        try:
            yield epoch
        finally:
            (output / HOLDER).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def holder(output: Path) -> tuple[Holder | None, bool]:
    """Who last took the lease without giving it back, and whether it is held now. Does not wait."""
    document = read_json(output / HOLDER)
    return None if document is None else Holder(**document), _is_locked(output / "lease.lock")


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open(output: Path) -> int:
    try:
        output.mkdir(parents=True, exist_ok=True)
        return os.open(output / "lease.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ValueError(f"output.path: cannot write to {output} ({error.strerror}); name a writable folder") from None


def _lock(descriptor: int, output: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(PATIENCE_S / 20)
                continue
            who = holder(output)[0]
            raise ValueError(
                f"output.path: another run{f' ({who})' if who else ''} is writing to {output}; "
                "wait for it, stop it, or choose another folder"
            ) from None


def _next_epoch(descriptor: int, output: Path) -> int:
    """One above what the lock says, and above every fragment: the lock may have been lost in a copy."""
    folders = (output / "fragments").glob("*")
    paths = (path for folder in folders for path in list_fragments(folder, lambda *_: None))
    latest = max((fragment_order(path)[0] for path in paths), default=0)
    epoch = max(int(os.pread(descriptor, 32, 0).strip() or b"0"), latest) + 1
    os.pwrite(descriptor, f"{epoch:06d}\n".encode(), 0)
    os.fsync(descriptor)
    return epoch
