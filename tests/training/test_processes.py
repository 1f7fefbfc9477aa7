"""Training in several processes: plain ones here, DeepSpeed's in a lane of its own (`make test-deepspeed`)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from recap.pllava import load_pllava
from recap.training.launch import launch
from tests.training.conftest import LORA

HOME = Path(__file__).parents[2]
WAYS = [
    pytest.param(2, None),
    pytest.param(1, "zero2", marks=pytest.mark.deepspeed),
    pytest.param(2, "zero2", marks=pytest.mark.deepspeed),
    pytest.param(2, "zero3", marks=pytest.mark.deepspeed),
]


def torchrun(processes: int, recipe: Path, *overrides: str) -> dict:
    """Train in `processes` processes; what the first of them printed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HOME), "CUDA_VISIBLE_DEVICES": ""}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*launcher, "-m", "recap", "train", str(recipe), *overrides, "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, cwd=HOME, env=environment, **pipes) as process:
        try:
            said, complained = process.communicate(timeout=280)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, complained[-3000:]
    lines = [json.loads(line) for line in said.splitlines() if line.startswith('{"steps"')]
    return next(line for line in lines if line["folders"])


def read_losses(out: Path) -> list[float]:
    return [float(line.split(",")[2]) for line in (out / "loss.csv").read_text().splitlines()[1:]]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, recipe, base, clips) -> Path:
    """The same training in one process, without DeepSpeed."""
    out = tmp_path_factory.mktemp("alone")
    launch(recipe(LORA, BASE=base, DATA=clips, OUT=out))
    return out


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("processes", "deepspeed"), WAYS)
def test_losses_are_those_of_one_process(processes, deepspeed, alone, base, clips, tmp_path):
    (tmp_path / "lora.yaml").write_text(LORA.replace("BASE", str(base)).replace("DATA", str(clips)))
    overrides = [f"output.path={tmp_path / 'out'}"] + ([f"train.deepspeed={deepspeed}"] if deepspeed else [])
    result = torchrun(processes, tmp_path / "lora.yaml", *overrides)
    assert result["steps"] == 4
    assert read_losses(tmp_path / "out") == pytest.approx(read_losses(alone), rel=1e-4)
    assert load_pllava(tmp_path / "out" / "full", lora_alpha=8).config.num_frames == 4


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.timeout(180)
def test_ray_train_gives_the_same_losses(ray_session, alone, recipe, base, clips, tmp_path):
    overrides = ("ray.workers=2", "ray.cpus_per_worker=0.5")
    result = launch(recipe(LORA, overrides, BASE=base, DATA=clips, OUT=tmp_path / "out"))
    assert result.steps == 4 and set(result.folders) == {"full", "adapter"}
    assert read_losses(tmp_path / "out") == pytest.approx(read_losses(alone), rel=1e-4)
