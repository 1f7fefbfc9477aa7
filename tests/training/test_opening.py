from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from recap.pllava import load_pllava
from recap.training.opening import open_learner
from recap.training.run import train
from tests.training.conftest import LORA, SCRATCH


@pytest.fixture
def copied(base, tmp_path) -> Path:
    """A copy of the base that a test may change."""
    return Path(shutil.copytree(base, tmp_path / "copied"))


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_a_base_in_float16_is_trained_in_bfloat16(recipe, copied, clips, tmp_path):
    halves = {key: weight.half() for key, weight in load_file(copied / "model.safetensors").items()}
    save_file(halves, copied / "model.safetensors", metadata={"format": "pt"})
    change_config(copied, torch_dtype="float16")
    overrides = ("train.precision=bf16", "train.max_steps=1")
    assert train(recipe(LORA, overrides, BASE=copied, DATA=clips, OUT=tmp_path / "out")).loss > 0
    assert load_pllava(tmp_path / "out" / "adapter", base=copied).config.num_frames == 4


def test_no_adapter_is_saved_over_a_lora(recipe, base, clips, tmp_path):
    first = tmp_path / "first"
    train(recipe(LORA, ("train.max_steps=1",), BASE=base, DATA=clips, OUT=first))
    for start in (f"model.checkpoint={first / 'full'}", f"model={{checkpoint: {first / 'adapter'}, base: {base}}}"):
        with pytest.raises(ValueError, match=r"output\.save: .*save full alone"):
            train(recipe(LORA, (start,), BASE=base, DATA=clips, OUT=tmp_path / "second"))


@pytest.mark.parametrize("has_card", [True, False])
def test_a_card_attends_without_cudnn(recipe, base, clips, tmp_path, monkeypatch, has_card):
    before = torch.backends.cuda.cudnn_sdp_enabled()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_card)
    try:
        torch.backends.cuda.enable_cudnn_sdp(True)
        open_learner(recipe(LORA, BASE=base, DATA=clips, OUT=tmp_path), [base])
        assert torch.backends.cuda.cudnn_sdp_enabled() == (not has_card)
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


@pytest.mark.parametrize("target", ["q_prok", "embed_tokens", "mlp", "proj", ""])
def test_a_lora_is_on_linear_layers_alone(recipe, base, clips, tmp_path, target):
    asked = recipe(LORA, (f"train.lora.targets=[q_proj, '{target}']",), BASE=base, DATA=clips, OUT=tmp_path)
    with pytest.raises(ValueError, match=rf"'{target}' names no linear layers .*; there are down_proj, .*q_proj"):
        open_learner(asked, [base])


def test_a_lora_may_name_a_layer_of_one_block(recipe, base, clips, tmp_path):
    asked = recipe(LORA, ("train.lora.targets=[1.self_attn.q_proj]",), BASE=base, DATA=clips, OUT=tmp_path)
    learner, _ = open_learner(asked, [base])
    learns = {name for name, weight in learner.named_parameters() if weight.requires_grad and "lora" in name}
    assert len(learns) == 2 and all(".layers.1.self_attn.q_proj." in name for name in learns)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.max_text_tokens=2046", "max_text_tokens 2046 and 4 visual tokens make 2049, but the model holds 2048"),
        ("model.pooling=[4,20,20]", "max_text_tokens 512 and 1600 visual tokens make 2111"),
        ("frames.view=wide", "windows cannot share the 1 columns"),
    ],
)
def test_what_the_context_does_not_hold_is_refused(recipe, base, clips, tmp_path, override, message):
    asked = recipe(LORA, (override,), BASE=base, DATA=clips, OUT=tmp_path)
    with pytest.raises(ValueError, match=message):
        open_learner(asked, [base])


def test_the_context_may_be_full(recipe, base, clips, tmp_path):
    open_learner(recipe(LORA, ("data.max_text_tokens=2045",), BASE=base, DATA=clips, OUT=tmp_path), [base])


def test_an_untrained_model_pools_no_finer_than_its_patches(recipe, pictures, tmp_path):
    train(recipe(SCRATCH, ("model.pooling=null", "train.max_steps=1"), DATA=pictures, OUT=tmp_path))
    assert json.loads((tmp_path / "full" / "config.json").read_text())["pooling_shape"] == [1, 2, 2]


def test_an_end_that_the_generation_config_names_is_kept(recipe, copied, clips, tmp_path):
    text = json.loads((copied / "config.json").read_text())["text_config"]
    change_config(copied, text_config=text | {"eos_token_id": None})
    (copied / "generation_config.json").write_text('{"eos_token_id": [2, 4]}')
    train(recipe(LORA, ("train.max_steps=1",), BASE=copied, DATA=clips, OUT=tmp_path))
    assert load_pllava(tmp_path / "full").config.eos_token_ids == (2, 4)
    assert load_pllava(tmp_path / "adapter", base=copied).config.eos_token_ids == (2, 4)
