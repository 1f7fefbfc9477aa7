"""The lease on an output in an object store, where nothing can be locked.

Each run creates `lease/<epoch>.json`, of which the store lets one succeed; the highest is the holder's,
who writes a growing number into it. A holder whose number has stood still for `EXPIRY_S` counts as
dead. No clock is compared with another: whoever waits measures, on a clock that is never set, how long
nothing moves.
"""

from __future__ import annotations

import json
import logging
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from uuid import uuid4

from recap.ledger.files import read_json, shaped
from recap.storage import Location, children, create, write_atomically

log = logging.getLogger(__name__)
BEAT_S = 5.0
WATCH_S = 3 * BEAT_S  # how long `status` looks for a sign of life
EXPIRY_S = 60.0
_CLAIM = re.compile(r"(\d{6,})\.json")
MENDED_BY = "delete it, once no run is at this output"


@dataclass(frozen=True)
class Claim:
    """What a run says of itself, `beat` times so far; `run` is its own random name."""

    epoch: int
    pid: int
    host: str
    since: str
    run: str
    beat: int = 0
    released: bool = False

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}, since {self.since}"


@contextmanager
def hold(output: Location, pid: int, host: str, since: str, least_epoch: int) -> Iterator[int]:
    """Hold the lease and yield this run's epoch, `least_epoch` or more. Raises ValueError when another run holds it."""
    last = latest(output)
    if last is not None and not last.released:
        _await_death(output, last)
    epoch = max(least_epoch, last.epoch + 1 if last else 1)
    mine = Claim(epoch, pid, host, since, uuid4().hex)
    heart = _Heart(output, mine, interrupts=threading.current_thread() is threading.main_thread())
    try:
        _create(output, mine)
        heart.start()
        yield epoch
    finally:
        heart.release()


def latest(output: Location) -> Claim | None:
    """Who claimed the output last; None where nobody ever did."""
    epoch = _latest_epoch(output)
    return _read(_path(output, epoch)) if epoch else None


def _read(path: Location) -> Claim | None:
    document = read_json(path, MENDED_BY)
    return None if document is None else shaped(path, document, Claim, MENDED_BY)


def lives(output: Location, claim: Claim, seconds: float) -> bool:
    """Whether a claim's holder gives a sign of life within `seconds`. Returns at the first."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(BEAT_S / 5)
        if latest(output) != claim:
            return True
    return False


def require(output: Location, epoch: int) -> None:
    """Raise ValueError when another run has taken the output over."""
    if _latest_epoch(output) > epoch:
        raise ValueError(f"output.path: {_lost(output)}")


def _await_death(output: Location, last: Claim) -> None:
    log.warning("%s was not given back by %s; waiting up to %g s for a sign of life", output, last, EXPIRY_S)
    if lives(output, last, EXPIRY_S):
        now = latest(output)
        if now is None or not now.released:
            _refuse(output, now or last)


def _create(output: Location, mine: Claim) -> None:
    path = _path(output, mine.epoch)
    try:
        create(path, _bytes(mine))
    except FileExistsError:  # by ourselves, if only the store's answer was lost
        there = _read(path)
        if there is None or there.run != mine.run:
            _refuse(output, there or mine)
    except OSError as error:
        raise ValueError(f"output.path: cannot write to {output} ({error.strerror})") from None
    if _latest_epoch(output) > mine.epoch:
        _refuse(output, latest(output) or mine)


def _refuse(output: Location, who: Claim) -> None:
    raise ValueError(
        f"output.path: another run ({who}) is writing to {output}; wait for it, stop it, or choose another folder"
    )


def _lost(output: Location) -> str:
    return f"this run was silent for more than {EXPIRY_S:g} s, and another ({latest(output)}) took {output} over"


def _latest_epoch(output: Location) -> int:
    claims = filter(None, (_CLAIM.fullmatch(path.name) for path in children(output / "lease")))
    return max((int(claim[1]) for claim in claims), default=0)


def _path(output: Location, epoch: int) -> Location:
    return output / "lease" / f"{epoch:06d}.json"


def _bytes(claim: Claim) -> bytes:
    return json.dumps(asdict(claim), indent=2, sort_keys=True).encode() + b"\n"


class _Heart(threading.Thread):
    """Beats beside the run, and interrupts it when another has taken over; in another than the main thread it goes on
    until it asks the next time."""

    def __init__(self, output: Location, claim: Claim, interrupts: bool):
        super().__init__(daemon=True)
        self.output, self.claim, self.interrupts = output, claim, interrupts
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(BEAT_S):
            try:
                self._beat()
            except OSError as error:  # the next one may pass
                log.info("a beat of the lease was not written: %s", error)
            except Exception:  # nor may any other one end the heart: another run would take over
                log.exception("a beat of the lease was not written")

    def _beat(self) -> None:
        self.claim = replace(self.claim, beat=self.claim.beat + 1)
        write_atomically(_path(self.output, self.claim.epoch), _bytes(self.claim))
        if _latest_epoch(self.output) > self.claim.epoch:
            log.error("%s", _lost(self.output))
            self.over.set()
            if self.interrupts:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    def release(self) -> None:
        """Stop, and let the next run begin at once; nothing where the claim was not made."""
        self.over.set()
        if self.is_alive():
            self.join()
        path = _path(self.output, self.claim.epoch)
        try:
            if (there := _read(path)) is not None and there.run == self.claim.run:
                write_atomically(path, _bytes(replace(self.claim, released=True)))
        except OSError as error:
            log.warning("the lease could not be given back: %s; the next run waits %g s", error, EXPIRY_S)
