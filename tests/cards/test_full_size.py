"""PLLaVA-34B at its full size on cards of 80 and 141 GB: nothing is computed, all memory is counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

ROOM_GB = 1  # for what the card's allocator loses to gaps


@pytest.mark.timeout(280)
def test_a_card_holds_what_the_engine_thinks_it_holds(home):
    command = [sys.executable, "benchmarks/card_memory.py", "--models", "34b", "--cards", "80 GB", "141 GB", "--json"]
    environment = os.environ | {"PYTHONPATH": str(home)}
    ended = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=270)
    assert ended.returncode == 0 and "out of memory" not in ended.stderr, ended.stderr[-3000:]
    small, large = json.loads(ended.stdout)
    assert (small["clips"], large["clips"]) == (14, 64)
    for found in (small, large):
        assert found["weights_gb"] < found["peak_gb"] < found["has_gb"] - ROOM_GB
