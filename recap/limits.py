"""The cores and the memory that this process may use, where its container (its cgroup) has less than the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SYSTEM = Path("/")
CPU_FILES = ("cpu.cfs_quota_us", "cpu.cfs_period_us")  # of cgroups' first version
CPU_FILES_V2 = ("cpu.max",)
MEMORY_FILES = ("memory.limit_in_bytes", "memory.usage_in_bytes")
MEMORY_FILES_V2 = ("memory.max", "memory.current")


def cores() -> int:
    """Those that the process is bound to, and no more than it is given the time of."""
    return max(1, min([len(os.sched_getaffinity(0)), *map(int, _quotas())]))


def memory_bytes() -> float:
    """All of it, or what the container may take."""
    return min([_meminfo("MemTotal"), *(limit for limit, _ in _memory())])


def free_memory_bytes() -> float:
    """What can be had without swapping, or being killed for it."""
    return min([_meminfo("MemAvailable"), *(limit - used for limit, used in _memory())])


def nvidia_cards() -> int:
    """Those that the process can see, as their device files tell; torch would take seconds to."""
    return sum(1 for device in (SYSTEM / "dev").glob("nvidia[0-9]*"))


def _meminfo(name: str) -> float:
    path = SYSTEM / "proc/meminfo"
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), float("inf"))


def _quotas() -> Iterator[float]:
    """Cores' worth of time."""
    for group in _groups("cpu"):
        with suppress(OSError, ValueError):  # there is no limit, or "max" is none
            names = CPU_FILES_V2 if (group / CPU_FILES_V2[0]).exists() else CPU_FILES
            quota, period = " ".join((group / name).read_text() for name in names).split()
            if int(quota) > 0:
                yield int(quota) / int(period)


def _memory() -> Iterator[tuple[int, int]]:
    """Bytes that may be taken, and that are, without cached files that the kernel gives up when asked for room."""
    for group in _groups("memory"):
        with suppress(OSError, ValueError):
            names = MEMORY_FILES_V2 if (group / MEMORY_FILES_V2[0]).exists() else MEMORY_FILES
            limit, used = (int((group / name).read_text()) for name in names)
            kinds = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            yield limit, used - int(kinds.get("inactive_file", 0))


def _groups(controller: str) -> Iterator[Path]:
    """The process's group under `controller` and those above it, as far as they can be seen from here."""
    path = SYSTEM / "proc/self/cgroup"
    for line in path.read_text().splitlines() if path.exists() else []:
        _, controllers, name = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = SYSTEM / "sys/fs/cgroup" / (controller if controllers else "")
        group = root / name.lstrip("/")
        yield from (each for each in (group, *group.parents) if each.is_relative_to(root))
