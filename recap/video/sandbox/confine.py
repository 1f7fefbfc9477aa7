"""What a child gives up before it meets a file. Linux only."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_F_SETSIG = 10
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


def die_with(lifeline: int) -> None:
    """Have the kernel kill this process when the other end of the pipe `lifeline` closes.

    PR_SET_PDEATHSIG would fire when the thread that started us ends, which need not be its process.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def confine(largest_file: int) -> bool:
    """No core dumps, no new privileges, no files over `largest_file` bytes (its pixels go through one);
    first to go when the machine's memory runs out.

    Returns whether the network is out of reach, which not every kernel grants.
    """
    # Those two may be meant for all of a group or cgroup, whose run then finishes what is in flight.
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM, signal.SIGINT})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_FSIZE, largest_file)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # where cores go to a program, the limit above does not hold
    # In a user namespace of its own, root could no longer read other people's files.
    own_user = 0 if int(_status("CapEff"), 16) else _CLONE_NEWUSER
    return libc.unshare(_CLONE_NEWNET | own_user) == 0


class MemoryLimit:
    """Lets the address space grow by `limit_bytes` from here, or to the limit that is set already, and no further."""

    def __init__(self, limit_bytes: int):
        self.start = self._peak()
        self.limit = _lower(resource.RLIMIT_AS, self.start + limit_bytes) - self.start

    @property
    def strained(self) -> bool:
        """Whether half of it has been in use: only then can an allocation of that size have failed."""
        return self._peak() - self.start > self.limit / 2

    def _peak(self) -> int:
        return int(_status("VmPeak")) * 1024


@contextmanager
def limited_cpu(seconds: float) -> Iterator[None]:
    """Have the kernel end this process with SIGPROF after so many core-seconds of all its threads."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _lower(limit: int, most: int) -> int:
    """Set `limit` to `most`, or to what it is already held to, which not everybody may raise; returns which."""
    hard = resource.getrlimit(limit)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(limit, (most, most))
    return most


def _status(name: str) -> str:
    with open("/proc/self/status") as status:
        return next(line for line in status if line.startswith(name + ":")).split()[1]
