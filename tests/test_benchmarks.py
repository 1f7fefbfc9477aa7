"""Benchmarks count what is theirs, take turns, and say what failed."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from argparse import Namespace

import pytest
import yaml

SLEEPS = [sys.executable, "-c", "import time; time.sleep(0.4)"]


@pytest.fixture
def bench(home, monkeypatch):
    monkeypatch.syspath_prepend(str(home / "benchmarks"))
    return importlib.import_module


def test_the_demos_memory_is_that_of_its_own_processes(bench):
    stranger = subprocess.Popen([*SLEEPS, "MapBatches(_Decode)"], start_new_session=True)
    child = f"import subprocess; subprocess.run({[*SLEEPS, 'MapBatches(_Caption)']})"
    peaks = bench("demo_memory").watch(subprocess.Popen([sys.executable, "-c", child], start_new_session=True))
    stranger.wait()
    assert peaks["driver"] > 0 and peaks["caption actor"] > 0 and peaks["decode worker"] == 0


def test_the_loop_beside_recap_runs_twice_on_the_same_clips(bench, tmp_path):
    asked = Namespace(model="pocket", clips=1, actors=1, workers=None, dtype="auto")
    paths = [bench("reference_loop").write_pipeline(tmp_path, asked) for _ in range(2)]
    first, second = (yaml.safe_load(path.read_text()) for path in paths)
    assert first["corpus"] == second["corpus"]
    assert len({paths[0].parent, paths[1].parent}) == len({first["output"]["path"], second["output"]["path"]}) == 2


def test_a_way_that_fails_is_named(bench, tmp_path, capsys):
    script = tmp_path / "script.py"
    script.write_text("import sys\nprint({'good': 1}[sys.argv[-1]])\n")
    with pytest.raises(SystemExit) as ended:
        bench("side_by_side").measure_each(str(script), "--way", ("good", "bad"), (), quiet=True)
    assert ended.value.code == "bad failed: KeyError: 'bad'"
    assert json.loads(capsys.readouterr().out) == {"good": 1}


def test_what_is_spilled_is_counted_once(bench, tmp_path):
    spilled = tmp_path / "ray/session_1/ray_spilled_objects_a/object"
    spilled.parent.mkdir(parents=True)
    spilled.write_bytes(b"12345")
    (tmp_path / "ray/session_latest").symlink_to(spilled.parents[1])
    assert bench("object_store").spilled_bytes(tmp_path) == 5


def test_ratios_are_of_rounds(bench):
    rounds = {"threads": [(1.0, 1.0), (4.0, 1.0), (2.0, 1.0)], "processes": [(2.0, 1.0), (8.0, 1.0), (2.0, 1.0)]}
    assert bench("decode_threads").figures(rounds)["ratio"] == 2.0  # and that of the medians is 1


def test_a_ratio_far_below_one_is_above_zero(bench):
    gpu = bench("gpu")
    found = {"slots": 1, "clips_per_s": 0.004, "one_by_one_clips_per_s": 1.0, "static_clips_per_s": 1.0}
    asked = Namespace(prompt=2, new_tokens=2)
    ratios = gpu.compare(found, gpu.Shape(1, 8, 1, 1, 8, 8, 8, 4), gpu.Ceilings(1e9, 1e9), asked)
    assert ratios["ratio_to_static"] == ratios["ratio_to_one_by_one"] == 0.004


def test_growth_is_held_against_what_was_there_after_warming_up(bench):
    samples = [{"driver": 100 + number} for number in range(10)] + [{"raylet": 5}]
    assert bench("soak").compare(samples) == {"driver": (102.5, 109.0)}
