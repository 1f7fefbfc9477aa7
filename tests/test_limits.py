from __future__ import annotations

import os

import psutil
import pytest

from recap import limits

GB = 2**30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A function that makes a machine of 64 cores and 100 GB, 90 of them free, with files of its own."""
    monkeypatch.setattr(limits, "SYSTEM", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))

    def make(cgroup: str, **groups: dict[str, object]) -> None:
        (tmp_path / "proc/self").mkdir(parents=True)
        kb = GB // 1024
        (tmp_path / "proc/meminfo").write_text(f"MemTotal: {100 * kb} kB\nMemFree: 1 kB\nMemAvailable: {90 * kb} kB\n")
        (tmp_path / "proc/self/cgroup").write_text(cgroup)
        for folder, files in groups.items():
            (where := tmp_path / "sys/fs/cgroup" / folder.replace("__", "/")).mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (where / name).write_text(f"{content}\n")

    return make


def found() -> tuple[int, float, float]:
    return limits.cores(), limits.memory_bytes() / GB, limits.free_memory_bytes() / GB


STAT = "anon 7\ninactive_file " + str(2 * GB)


def test_a_machine_without_limits_is_there_as_a_whole(system):
    system("0::/\n")
    assert found() == (64, 100, 90)


def test_a_container_of_today_has_its_share(system):
    limited = {"memory.max": 16 * GB, "memory.current": 5 * GB, "memory.stat": STAT}
    system("0::/\n", **{"": {"cpu.max": "450000 100000"} | limited})
    assert found() == (4, 16, 13)


def test_a_limit_of_a_group_above_counts(system):
    inner = {"cpu.max": "max 100000", "memory.max": "max", "memory.current": GB, "memory.stat": STAT}
    system("0::/batch/job\n", batch__job=inner, batch={"cpu.max": "200000 100000"})
    assert found() == (2, 100, 90)


def test_a_container_of_the_first_version_has_its_share(system):
    """Its own groups are mounted where the machine's would be, under a name that is the machine's."""
    memory = {"memory.limit_in_bytes": 8 * GB, "memory.usage_in_bytes": 9 * GB, "memory.stat": STAT}
    cpu = {"cpu.cfs_quota_us": 50000, "cpu.cfs_period_us": 100000}
    system("5:memory:/docker/1f\n3:cpu,cpuacct:/docker/1f\n0::/\n", memory=memory, cpu=cpu)
    assert found() == (1, 8, 1)


def test_no_limit_in_the_first_version_is_a_number_too(system):
    memory = {"memory.limit_in_bytes": 2**63 - 4096, "memory.usage_in_bytes": GB, "memory.stat": STAT}
    system("5:memory:/\n3:cpu:/\n", memory=memory, cpu={"cpu.cfs_quota_us": -1, "cpu.cfs_period_us": 100000})
    assert found() == (64, 100, 90)


def test_here_they_are_those_of_this_process():
    cores, total, free = limits.cores(), limits.memory_bytes(), limits.free_memory_bytes()
    assert 1 <= cores <= len(os.sched_getaffinity(0)) and 0 < free < total <= psutil.virtual_memory().total
