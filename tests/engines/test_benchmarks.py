"""The room's benchmarks run, at sizes for a CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

SMALL_MODEL = "--blocks=2 --hidden=48 --heads=6 --kv-heads=2 --intermediate=64 --vocabulary=50".split()
SMALL_WORK = "--prompt=20 --new-tokens=6 --clips=40 --batch-size=3 --static-batch=4 --single-clips=2".split()
ON_A_CPU = "--device=cpu --dtype=float32 --matrix-side=128 --copy-mb=8 --held-s=0.05".split()
ONLY_TORCH = """
import runpy, sys
from importlib.abc import MetaPathFinder
class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"ray", "pydantic", "click", "decord", "webdataset"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
script = sys.argv.pop(1)
sys.path.insert(0, script.rpartition("/")[0])
sys.argv[0] = script
runpy.run_path(script, run_name="__main__")
"""


def last_line(*command: str) -> dict:
    done = subprocess.run([sys.executable, *command, "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]) | {"said": done.stderr}


def test_the_engines_write_the_same_texts(home):
    script = str(home / "benchmarks/engines.py")
    sizes = "--clips=9 --batch-size=4 --prompts 20 33 --new-tokens 2 9 --hidden=192 --blocks=2 --repeats=1".split()
    found = last_line(script, *sizes)
    assert found["equal_texts"] == 9 and found["ratio"] > 0
    engines = {"generate", "recap"} | ({"vllm"} if find_spec("vllm") else set())
    assert found["tokens_per_s"].keys() == engines and min(found["tokens_per_s"].values()) > 0


@pytest.mark.parametrize("prefix", [[], ["-c", ONLY_TORCH]], ids=["", "with nothing but torch and transformers"])
def test_the_gpu_benchmark_runs_on_a_cpu_too(home, prefix):
    found = last_line(*prefix, str(home / "benchmarks/gpu.py"), *SMALL_MODEL, *SMALL_WORK, *ON_A_CPU)
    assert (found["device"], found["slots"], found["static_batch"]) == ("cpu", 3, 4)
    assert '"matrix_tflop_per_s"' in found["said"] and '"roofline_share"' in found["said"], "a lease may end early"
    assert found["matrix_tflop_per_s"] > 0 and found["matrix_tflop_per_s_held"] > 0
    bound = found["roofline_clips_per_s"]
    assert bound == pytest.approx(1 / (found["roofline_prefill_s"] + found["roofline_decode_s"]), rel=0.01)
    assert min(found["prefill_s"], found["decode_s"]) > 0
    assert 0.2 < (found["prefill_s"] + found["decode_s"]) * found["clips_per_s"] <= 1.001, "seconds a clip"
    assert 0 < found["roofline_share"] == pytest.approx(found["clips_per_s"] / bound, abs=1e-6)
    assert found["ratio_to_static"] > 0 and found["ratio_to_one_by_one"] > 0
