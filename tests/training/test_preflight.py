from __future__ import annotations

import json
from importlib.machinery import ModuleSpec

import pytest
import torch
from click.testing import CliRunner

from recap.cli import main
from recap.training import preflight
from recap.training.preflight import check
from tests.training.conftest import LORA


@pytest.fixture
def asked(recipe, base, clips, tmp_path):
    """A recipe of which nothing is missing, with overrides."""
    return lambda *overrides: recipe(LORA, overrides, BASE=base, DATA=clips, OUT=tmp_path)


@pytest.fixture
def machine(monkeypatch):
    """A machine with DeepSpeed, with GPUs, or without: `machine(deepspeed=True, gpus=False)`."""

    def pretend(*, deepspeed: bool, gpus: bool) -> None:
        monkeypatch.setattr(preflight, "find_spec", lambda name: ModuleSpec(name, None) if deepspeed else None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)

    return pretend


@pytest.mark.parametrize("ray", [(), ("ray.workers=2",)], ids=["here", "ray"])
def test_the_shipped_recipe_says_at_once_all_that_it_lacks(home, machine, monkeypatch, tmp_path, ray):
    machine(deepspeed=False, gpus=False)
    monkeypatch.chdir(tmp_path)
    recipe = home / "pipelines/train/pllava-34b.yaml"
    result = CliRunner().invoke(main, ["train", str(recipe), "model.checkpoint=nowhere", *ray])
    assert result.exit_code == 2
    for said in (
        "there is no file videochat2/caption_textvr.json",
        "there is no file videochat2/vqa_tgif_frame_qa.json",
        "model.checkpoint: there is no folder nowhere, and it is no hub id",
        "pip install --editable '.[deepspeed]'",
        "ray.gpus_per_worker is 0" if ray else "this machine has none",
    ):
        assert said in result.stderr
    assert not list(tmp_path.iterdir())


def test_what_lacks_nothing_passes(asked, machine):
    machine(deepspeed=True, gpus=True)
    check(asked())
    check(asked("model.checkpoint=llava-hf/llava-v1.6-34b-hf", "train.deepspeed=zero3_offload"))
    machine(deepspeed=True, gpus=False)
    check(asked("train.deepspeed=zero3"))


def test_a_cluster_has_its_own_deepspeed_and_gpus(asked, machine):
    machine(deepspeed=False, gpus=False)
    cluster = ("train.deepspeed=zero3_offload", "ray.workers=2", "ray.address=auto")
    check(asked(*cluster, "ray.gpus_per_worker=1"))
    with pytest.raises(ValueError, match=r"ray\.gpus_per_worker is 0"):
        check(asked(*cluster))


def test_a_deepspeed_file_of_ones_own_is_read(asked, machine, tmp_path):
    machine(deepspeed=True, gpus=False)
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"zero_optimization": {"offload_param": {"device": "none"}}}))
    check(asked(f"train.deepspeed={own}"))
    own.write_text(json.dumps({"zero_optimization": {"offload_param": {"device": "nvme"}}}))
    with pytest.raises(ValueError, match=r"own\.json: it computes on GPUs"):
        check(asked(f"train.deepspeed={own}"))
    own.write_text("{")
    with pytest.raises(ValueError, match=r"own\.json cannot be read as JSON"):
        check(asked(f"train.deepspeed={own}"))
    with pytest.raises(ValueError, match="there is no file zero9, and recap itself has"):
        check(asked("train.deepspeed=zero9"))
