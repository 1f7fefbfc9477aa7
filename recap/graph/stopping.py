"""How a run is asked to stop: by SIGTERM or Ctrl-C, once gently and then at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class GraceOver(BaseException):
    """A stopping run has taken as long as it may. Nobody may take it for an error of a clip."""


class Stop:
    """Whether a run has been asked to stop, and by which signal."""

    def __init__(self, grace_s: float):
        self.grace_s = grace_s
        self.signal: int | None = None
        self.asked = threading.Event()
        self._is_over = False
        self._timer = threading.Timer(grace_s, self._end)
        self._timer.daemon = True

    def __bool__(self) -> bool:
        return self.signal is not None

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The first signal asks; the end of the grace period raises GraceOver; a second signal ends the process."""
        if self._is_over:
            raise GraceOver
        if self.signal is not None:
            _say("ending at once; what was committed is safe, run the same command to go on")
            os._exit(128 + number)
        self.signal = number
        _say(f"stopping: what is in flight is finished, for up to {self.grace_s:g} s; once more to end at once")
        self.asked.set()
        self._timer.start()

    def close(self) -> None:
        """The work is over, or the process is about to be."""
        self._timer.cancel()

    def _end(self) -> None:
        self._is_over = True
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


@contextmanager
def stopping(grace_s: float) -> Iterator[Stop]:
    """Signals ask the work inside to stop. Where that is not the main thread, they are left alone."""
    stop = Stop(grace_s)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.on_signal) for number in SIGNALS}
    try:
        yield stop
    finally:
        stop.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    """A signal may come in the middle of a print: only the bare call is safe then."""
    os.write(2, f"\n{text}\n".encode())
