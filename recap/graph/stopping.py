"""How a run is asked to stop: by SIGTERM or Ctrl-C, once gently and then at once, or by a budget that is used up."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from recap.leaving import undropped

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO_S = 0.5  # `timeout`, for one, signals its child and then the group that the child is in
GO_ON = "what was committed is safe; recap run goes on with the rest"


class GraceOver(KeyboardInterrupt):  # calls of Ray's end early for nothing else
    """A stopping run has taken as long as it may. Nobody may take it for an error of a clip."""


class RayLost(KeyboardInterrupt):
    """Ray's process on this machine, or its head, died under the run: nothing more can be asked. No error of a clip."""


class Stop:
    """Whether a run has been asked to stop, and by which signal, or because `budget_s` seconds are over."""

    def __init__(self, grace_s: float, budget_s: float | None = None):
        self.grace_s = grace_s
        self.signal: int | None = None
        self._signalled = 0.0
        self.is_over_budget = self.is_grace_over = self.is_idle = False
        self.is_heard = False  # handlers are set
        self._hearing = threading.RLock()  # the main thread may end itself again meanwhile
        self._is_interruptible = False
        self.asked = threading.Event()
        self._end_with: KeyboardInterrupt | None = None
        self._ended_with: KeyboardInterrupt | None = None
        self._timer = threading.Timer(min(grace_s, threading.TIMEOUT_MAX), self._end_grace)
        self._budget = threading.Timer(min(budget_s or 0.0, threading.TIMEOUT_MAX), self._spend)
        for timer in (self._timer, self._budget):
            timer.daemon = True
        if budget_s is not None:
            self._budget.start()

    def __bool__(self) -> bool:
        return self.asked.is_set()

    @property
    def is_ray_lost(self) -> bool:
        """The work has ended with RayLost: whatever still calls Ray may end the process without a word."""
        return isinstance(self._ended_with, RayLost)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The first signal asks; what `end` was given is raised; a second signal, no echo, ends the process."""
        error, self._end_with = self._end_with, None
        if error is not None:
            if self._is_interruptible or not isinstance(error, GraceOver):
                self._ended_with = error
                raise error
            return
        if self.signal is not None and time.monotonic() - self._signalled < ECHO_S:
            return
        if self.signal is not None:
            _say(f"ending at once; {GO_ON}")
            os._exit(128 + number)
        self.signal, self._signalled = number, time.monotonic()
        self._ask("once more to end at once")

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Inside, and only there, the end of the grace period raises GraceOver in the main thread."""
        self._is_interruptible = True
        try:
            if self.is_grace_over:
                raise GraceOver
            yield
        except KeyboardInterrupt as error:  # where ours was raised inside a call of Ray's, it is a bare one now
            raise self._ended_with or error from None
        finally:
            self._is_interruptible = False

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """What is inside, where interruptible, is finished first: a store's library would go on with it by itself."""
        self._is_interruptible = False
        yield
        self._is_interruptible = True
        if self.is_grace_over:
            raise GraceOver

    def end_budget(self) -> None:
        """What costs is over."""
        self._budget.cancel()

    def close(self) -> None:
        """The work is over, or the process is about to be."""
        self._timer.cancel()
        self._budget.cancel()

    def _spend(self) -> None:
        if not self:
            self.is_over_budget = True
            self._ask("the budget is used up")

    def _ask(self, why: str) -> None:
        _say(f"stopping: what is in flight is finished, for up to {self.grace_s:g} s; {why}")
        if not self:
            self.asked.set()
            self._timer.start()

    def end_idle(self) -> None:
        """As when the grace is over, of which nothing needs any more."""
        self.is_idle = True
        self._end_grace()

    def _end_grace(self) -> None:
        self.is_grace_over = True
        self.end(GraceOver())

    def end(self, error: KeyboardInterrupt) -> None:
        """Raise `error` in the main thread, whatever that is doing while signals are heard. For any other thread."""
        with self._hearing:
            if not self.is_heard or isinstance(self._end_with, RayLost):
                return  # an interrupt is on its way, and says more
            self._end_with = error
            _interrupt_main()

    def hear_no_more(self) -> None:
        """Handlers are about to go, and what nobody handles would be a bare KeyboardInterrupt."""
        with self._hearing:
            self.is_heard = False

    def end_again(self, dropped: BaseException) -> None:
        """Where Python dropped what `end` had raised; inside a call of Ray's it had become a bare KeyboardInterrupt."""
        self.end(self._ended_with or dropped)


@contextmanager
def stopping(grace_s: float, budget_s: float | None = None) -> Iterator[Stop]:
    """Signals, and the end of `budget_s`, ask the work inside to stop.

    Where that is not the main thread, signals are left alone.
    """
    stop = Stop(grace_s, budget_s)
    if threading.current_thread() is not threading.main_thread():
        try:
            yield stop
        finally:
            stop.close()
        return
    before = {number: signal.signal(number, stop.on_signal) for number in SIGNALS}
    stop.is_heard = True
    try:
        with undropped(stop.end_again):
            yield stop
    finally:
        stop.close()
        stop.hear_no_more()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def endable() -> Iterator[Callable[[KeyboardInterrupt], None]]:
    """What it gives raises an error inside, in the main thread, when another thread calls it.

    Where inside is no main thread, or SIGINT is ignored, that does nothing.
    """
    is_main = threading.current_thread() is threading.main_thread()
    ended: list[KeyboardInterrupt] = []

    def end(error: KeyboardInterrupt) -> None:
        if is_main and not ended:
            ended.append(error)
            _interrupt_main()

    try:
        yield end
    except KeyboardInterrupt as error:
        raise (ended or [error])[0] from None
    finally:
        is_main = False


def _interrupt_main() -> None:
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


@contextmanager
def deaf_children(number: int) -> Iterator[None]:
    """Processes that are started inside never hear signal `number`: a group's or a cgroup's is for us alone."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _say(text: str) -> None:
    """A signal may come in the middle of a print: only the bare call is safe then."""
    os.write(2, f"\n{text}\n".encode())
