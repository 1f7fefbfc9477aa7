"""A process that computes on a CPU keeps the memory that its layers use again and again."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

FAULTS = """
import resource
import torch
from recap.engines.device import prepared
prepared("engine.gpus_per_actor", 0, 1)
ten_megabytes = torch.ones(2_500_000)
several = [ten_megabytes * 2 for _ in range(5)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    several.clear()
    several += [ten_megabytes * 2 for _ in range(5)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="another C library than glibc")
def test_what_layers_give_back_is_not_zeroed_anew_each_time():
    faults = int(subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True).stdout)
    assert faults * resource.getpagesize() < 100e6  # of 500
