"""Workers that end with the process of Ray's that started them."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_raylet() -> None:
    """Have the kernel kill this worker when its raylet is gone; on Linux only.

    Ray lets it end by itself, and that hangs now and then on a lock that its thread already holds (2.60). The
    raylet's main thread starts workers, so the end of that thread is the end of the raylet.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
