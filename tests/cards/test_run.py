"""A whole run on Ray whose captioner and translators have cards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from recap import jobs
from recap.pipeline import load_pipeline

PIPELINE = """
corpus: {{path: {home}/pipelines/demo/pocket}}
model: {{checkpoint: pocket, dtype: float32}}
prompt: {{template: plain, instruction: "Describe the video."}}
engine: {{batch_size: 4, max_new_tokens: 48}}
translation: {{languages: [zh], checkpoint: pocket}}
output: {{path: unset}}
"""
# Ray finds no cards of its own on this machine: it is told how many there are.
ON_RAY = """
import sys, ray
from recap.cli import main
ray.init(address="local", num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
try:
    main(sys.argv[1:])
finally:
    ray.shutdown()
"""


@pytest.fixture
def pipeline(tmp_path, home) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(PIPELINE.format(home=home))
    return path


def read(output: Path) -> list[dict]:
    """The delivered rows, without the keys that say what computed them."""
    import pyarrow.dataset

    rows = pyarrow.dataset.dataset(sorted((output / "shards").rglob("*.parquet"))).to_table().to_pylist()
    return [{name: value for name, value in row.items() if not name.endswith("_key")} for row in rows]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("share", ("1", "0.5"))
def test_a_run_says_what_it_says_on_the_cpu(pipeline, environment, tmp_path, share):
    jobs.run(load_pipeline(pipeline, [f"output.path={tmp_path / 'cpu'}"]), limit=8, runner="loop")
    overrides = [
        f"output.path={tmp_path / 'card'}",
        f"engine.gpus_per_actor={share}",
        f"translation.gpus_per_actor={share}",
    ]
    command = [
        sys.executable,
        "-c",
        ON_RAY,
        "run",
        str(pipeline),
        *overrides,
        "engine.actors=2",
        "--limit",
        "8",
        "--json",
    ]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-3000:]
    found = read(tmp_path / "card")
    assert found == read(tmp_path / "cpu") and len(found) == 8
    speed = json.loads((tmp_path / "card" / "report" / "report.json").read_text())["speed"]
    assert speed["clips_per_gpu_hour_held"] > speed["clips_per_gpu_hour_provisioned"] > 0
