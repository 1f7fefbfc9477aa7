from __future__ import annotations

import json

import pytest
from pydantic import TypeAdapter, ValidationError

from recap.engines import (
    EngineSettings,
    ModelSettings,
    PromptSettings,
    frame_request,
)
from recap.pllava.hub import resolve_checkpoint
from recap.records import FrameRequest


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
        {"stall_s": 0},
    ],
)
def test_engine_bounds(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        TypeAdapter(EngineSettings).validate_python(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "transformers", "quantization": "fp8", "gpus_per_actor": 1},
        {"kind": "vllm", "quantization": "fp8"},
        {"kind": "vllm", "gpus_per_actor": 1.5},
    ],
)
def test_what_vllm_cannot_do_is_refused(wrong):
    with pytest.raises(ValueError, match=r"engine\.(quantization fp8 wants|gpus_per_actor above 1)"):
        EngineSettings(**wrong)
    EngineSettings("vllm", gpus_per_actor=0.5, quantization="fp8")
    EngineSettings("vllm", gpus_per_actor=4)


@pytest.mark.parametrize(
    ("settings", "slots", "in_flight"),
    [
        ({}, 16, 48),
        ({"gpus_per_actor": 0.5}, 64, 192),
        ({"gpus_per_actor": 1, "batch_size": 3}, 3, 9),
        ({"batch_size": 5, "in_flight": 4}, 5, 5),
        ({"gpus_per_actor": 2, "in_flight": 100}, 64, 100),
    ],
)
def test_a_gpu_writes_more_clips_together(settings, slots, in_flight):
    engine = EngineSettings(**settings)
    assert (engine.slots, engine.clips_in_flight) == (slots, in_flight)


def test_other_bounds():
    for wrong in ({"lora_alpha": -1}, {"pooling": [16, 0, 12]}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            TypeAdapter(ModelSettings).validate_python(wrong)
    with pytest.raises(ValueError, match=r"prompt\.instruction is empty"):
        PromptSettings(instruction="  ")


@pytest.mark.parametrize(
    ("instruction", "names"),
    [
        ("dense", ["dense"]),
        ("Describe it.", ["custom"]),
        ("请描述这个视频", ["custom"]),
        (("short", "dense"), ["short", "dense"]),
        ({"mine": "Describe it.", "brief": "short"}, ["mine", "brief"]),
    ],
)
def test_prompts_have_names(instruction, names):
    assert list(PromptSettings(instruction=instruction).instructions) == names


@pytest.mark.parametrize(
    "instruction",
    [("Say a.", "Say b."), ("short", "short"), (), ("dense", " "), {"Not.A.Name": "Say a."}, {"_a": "Say a."}],
)
def test_prompts_that_cannot_be_told_apart_are_refused(instruction):
    with pytest.raises(ValueError, match=r"prompt\.instruction"):
        PromptSettings(instruction=instruction)


def test_pooling_goes_with_pllava():
    assert ModelSettings(pooling=(16, 12, 12)).pooling == (16, 12, 12)
    with pytest.raises(ValueError, match="does not pool"):
        ModelSettings(visual_tokens="n_frame", pooling=(16, 12, 12))


PLLAVA = {"num_frames": 4, "pooling_shape": [4, 2, 2], "image_token_index": 9}


@pytest.mark.parametrize("vision", [{}, {"image_size": 48, "patch_size": 12}])
def test_frames_are_of_the_towers_size(tmp_path, vision):
    (tmp_path / "config.json").write_text(json.dumps(PLLAVA | {"vision_config": vision}))
    size = vision.get("image_size", 336)
    for kind in ("transformers", "rehearsal"):
        request = frame_request(ModelSettings(str(tmp_path)), EngineSettings(kind), 8, "pad")
        assert request == FrameRequest(8, size, "pad")


def test_strategies_write_the_frame_request(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(PLLAVA))
    grid = ModelSettings(str(tmp_path), visual_tokens="image_grid")
    assert frame_request(grid, EngineSettings(), 16, "crop") == FrameRequest(6, 336, "crop", (2, 3))
    assert frame_request(ModelSettings(), EngineSettings("rehearsal"), 3, "crop") == FrameRequest(3, 64, "crop")


def test_checkpoints_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"no config\.json"):
        frame_request(ModelSettings(str(tmp_path)), EngineSettings(), 16, "crop")
    with pytest.raises(ValueError, match="checkpoint is not set"):
        resolve_checkpoint("")
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere, and it is no hub id"):
        resolve_checkpoint(str(tmp_path / "nowhere"))
