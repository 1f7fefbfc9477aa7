from __future__ import annotations

import json

import pytest

from recap.engines import (
    EngineSettings,
    ModelSettings,
    PromptSettings,
    frame_size,
    model_frame_size,
    open_captioner,
    resolve_checkpoint,
)


@pytest.mark.parametrize(
    "wrong",
    [
        {"actors": 0},
        {"batch_size": 0},
        {"in_flight": 0},
        {"max_new_tokens": 0},
        {"gpus_per_actor": -0.5},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"seed": -1},
        {"repetition_penalty": 0.0},
    ],
)
def test_engine_bounds(wrong):
    with pytest.raises(ValueError, match=rf"engine\.{next(iter(wrong))} must be"):
        EngineSettings(**wrong)


def test_other_bounds():
    with pytest.raises(ValueError, match=r"model\.lora_alpha must be"):
        ModelSettings(lora_alpha=-1)
    with pytest.raises(ValueError, match=r"prompt\.instruction is empty"):
        PromptSettings(instruction="  ")


@pytest.mark.parametrize(
    ("instruction", "name"),
    [("dense", "dense"), ("Describe it.", "custom"), ("请描述这个视频", "custom")],
)
def test_a_prompt_has_a_name(instruction, name):
    assert PromptSettings(instruction=instruction).name == name


def test_frame_size_is_the_towers(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": {"image_size": 48}}))
    assert model_frame_size(tmp_path) == 48
    assert frame_size(ModelSettings(str(tmp_path)), EngineSettings()) == 48
    assert frame_size(ModelSettings(str(tmp_path)), EngineSettings("rehearsal")) == 48
    assert frame_size(ModelSettings(), EngineSettings("rehearsal")) == 64


@pytest.mark.parametrize("config", [{}, {"vision_config": None}, {"vision_config": {"hidden_size": 1024}}])
def test_frame_size_of_published_configs_that_leave_it_out(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert model_frame_size(tmp_path) == 336


def test_checkpoints_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="is missing"):
        model_frame_size(tmp_path)
    with pytest.raises(ValueError, match="checkpoint is not set"):
        open_captioner(ModelSettings(), PromptSettings(), EngineSettings(), 16)
    with pytest.raises(ValueError, match="is no checkpoint folder here"):
        resolve_checkpoint(str(tmp_path / "nowhere"))
