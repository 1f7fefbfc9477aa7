"""Ending on SIGTERM or Ctrl-C: where Python would drop the exception, and what writes nothing, within seconds."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

from recap.storage import abandon_scratch

GRACE_S = 3.0
AGAIN_S = 0.05  # by then what dropped it has ended


def signal_again(error: BaseException) -> None:
    """Send the signal once more whose handler raised `error`. For any thread."""
    number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
    signal.pthread_kill(threading.main_thread().ident, number)


@contextmanager
def undropped(again: Callable[[BaseException], None] = signal_again) -> Iterator[None]:
    """What a signal handler raises, and Python drops, as it fell into a finaliser or a callback, comes `again`.

    Else a run would never hear of the only Ctrl-C.
    """
    before, timers = sys.unraisablehook, []

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        is_ours = threading.current_thread() is threading.main_thread()
        if is_ours and isinstance(dropped.exc_value, KeyboardInterrupt | SystemExit):
            timers.append(_started(Timer(AGAIN_S, again, [dropped.exc_value])))
        else:
            before(dropped)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:
            timer.cancel()


def _started(timer: Timer) -> Timer:
    timer.daemon = True
    timer.start()
    return timer


@contextmanager
def leaving_soon() -> Iterator[None]:
    """A signal raises SystemExit; where that is held up, the process ends without waiting any longer."""
    timers: list[Timer] = []
    statuses: list[int] = []

    def leave(number: int, _frame: object) -> None:
        statuses.append(128 + number)
        timers.append(_started(Timer(GRACE_S, _at_once, statuses[:1])))
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
