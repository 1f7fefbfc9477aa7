"""Workers that end with the process of Ray's that started them, and when Ray ends them."""

from __future__ import annotations

import ctypes
import signal
import sys
from functools import cache

_PR_SET_PDEATHSIG = 1


@cache
def end_surely() -> None:
    """Have the kernel kill this worker when its raylet is gone, and end it as soon as Python has; on Linux only.

    Ray's own way out of a worker hangs now and then on a lock that its thread already holds (2.60: of workers that
    talked to one that was killed), and such a process keeps its memory and its GPU's. Of what is to be done at an
    exit the C library does the latest first: `_exit` leaves Ray no turn. The raylet's main thread starts workers, so
    the end of that thread is the end of the raylet.
    """
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        library.on_exit(library._exit, None)
