"""Ending within seconds of SIGTERM or Ctrl-C what writes nothing, whatever its threads compute."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from recap.storage import abandon_scratch

GRACE_S = 3.0


@contextmanager
def leaving_soon() -> Iterator[None]:
    """A signal raises SystemExit; where that is held up, the process ends without waiting any longer."""
    timers: list[Timer] = []
    statuses: list[int] = []

    def leave(number: int, _frame: object) -> None:
        statuses.append(128 + number)
        timers.append(Timer(GRACE_S, _at_once, statuses[:1]))
        timers[-1].daemon = True
        timers[-1].start()
        sys.exit(statuses[0])

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except SystemExit as error:  # a call of Ray's raises one of its own in its place
        raise SystemExit(*statuses[:1] or error.args) from None
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _at_once(code: int) -> None:
    abandon_scratch()
    os._exit(code)
