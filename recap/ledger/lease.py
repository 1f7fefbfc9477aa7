"""One writer at a time: the lease, and the epoch that numbers its fragments."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from recap.ledger import store_lease
from recap.ledger.files import read_json, shaped, write_json
from recap.ledger.fragments import fragment_order, list_fragments
from recap.storage import Location, children, is_store

HOLDER = "lease.json"
NO_NEED = "delete it: it only says who is at it"
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
def lease(output: Location) -> Iterator[int]:
    """Hold the output's lease and yield this run's epoch, one above every earlier run's.

    On a disk that is a lock on `<output>/lease.lock`, which the kernel frees when its holder dies,
    however it dies; in a store see `store_lease`. Raises ValueError when another run holds it.
    """
    me = os.getpid(), socket.gethostname(), datetime.now(UTC).isoformat(timespec="seconds")
    if is_store(output):
        with store_lease.hold(output, *me, least_epoch=_latest_fragment(output) + 1) as epoch:
            yield epoch
        return
    descriptor = _open(output)
    try:
        _lock(descriptor, output)
        epoch = _next_epoch(descriptor, output)
        write_json(output / HOLDER, asdict(Holder(epoch, *me)))
        try:
            yield epoch
        finally:
            (output / HOLDER).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def require_lease(output: Location, epoch: int) -> None:
    """Raise ValueError when the run of `epoch` holds the lease no more; that of a disk is never lost."""
    if is_store(output):
        store_lease.require(output, epoch)


def holder(output: Location) -> tuple[Holder | None, bool]:
    """Who last took the lease without giving it back, and whether it is held now. In a store that takes a moment."""
    if is_store(output):
        claim = store_lease.latest(output)
        if claim is None or claim.released:
            return None, False
        who = Holder(claim.epoch, claim.pid, claim.host, claim.since)
        return who, store_lease.lives(output, claim, store_lease.WATCH_S)
    path = output / HOLDER
    document = read_json(path, NO_NEED)
    who = None if document is None else shaped(path, document, Holder, NO_NEED)
    return who, _is_locked(output / "lease.lock")


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # nothing can be locked there, so that nobody writes
        return False
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
        except OSError as error:
            raise ValueError(
                f"output.path: nothing can be locked in {output} ({error.strerror}); "
                "mount its file system with locks (flock), or choose another folder"
            ) from None


def _next_epoch(descriptor: int, output: Path) -> int:
    """One above what the lock says, and above every fragment: the lock may have been lost in a copy, or damaged."""
    said = re.match(rb"\d+", os.pread(descriptor, 32, 0))
    epoch = max(int(said[0]) if said else 0, _latest_fragment(output)) + 1
    os.pwrite(descriptor, f"{epoch:06d}\n".encode(), 0)
    os.fsync(descriptor)
    return epoch


def _latest_fragment(output: Location) -> int:
    folders = [*children(output / "fragments"), *children(output / "overlays")]
    paths = (path for folder in folders for path in list_fragments(folder, lambda *_: None))
    return max((fragment_order(path)[0] for path in paths), default=0)
