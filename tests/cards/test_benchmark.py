"""`benchmarks/gpu.py` as it runs on a card, small."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SMALL = (
    "--json --blocks 2 --hidden 64 --heads 4 --kv-heads 2 --intermediate 96 --vocabulary 128 --prompt 32 "
    "--new-tokens 6 --clips 6 --batch-size 4 --static-batch 4 --single-clips 2 --matrix-side 64 --copy-mb 1 --held-s 0"
).split()


@pytest.mark.timeout(120)
def test_the_gpu_benchmark_runs_on_a_card(environment, home):
    command = [sys.executable, "benchmarks/gpu.py", *SMALL]
    ended = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = json.loads(ended.stdout)
    assert found["device"] == "pretended" and found["slots"] == found["static_batch"] == 4
    assert found["graphs"] == 1 and found["equal_without_graphs"] is True
    assert 0 < found["roofline_share"] < 1 and found["clips_per_s"] > 0
