"""Our numbers beside the reference's, through the public names only."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from recap.pllava import load_pllava

CASES = [(case, alpha) for case in ("a", "b", "c", "a_split") for alpha in (0, 4, 32)]


def load(golden, case, alpha):
    if case == "a_split":
        return load_pllava(golden / case / "weights", base=golden / case / "base", lora_alpha=alpha)
    return load_pllava(golden / case, lora_alpha=alpha)


@pytest.mark.parametrize(("case", "alpha"), CASES)
def test_equals_the_reference(golden, case, alpha):
    model = load(golden, case, alpha)
    expected = load_file(golden / case.removesuffix("_split") / "golden.safetensors")
    inputs = [expected[name] for name in ("input_ids", "attention_mask", "pixel_values")]

    tokens = model.visual_tokens(expected["pixel_values"])
    torch.testing.assert_close(tokens, expected["projected_pooled"], atol=1e-5, rtol=0)

    logits = model.logits(*inputs)
    assert logits.shape == expected[f"logits_alpha{alpha}"].shape
    padding = (expected["attention_mask"] == 0).sum(1).tolist()
    for row, start in enumerate(padding):
        torch.testing.assert_close(
            logits[row, start:], expected[f"logits_alpha{alpha}"][row, start:], atol=1e-4, rtol=0
        )
    assert model.generate(*inputs, 12) == expected[f"greedy_alpha{alpha}"].tolist()


def test_a_plain_llava_loads_and_is_pooled_as_published(golden, tmp_path):
    shutil.copytree(golden / "a_split" / "base", tmp_path / "llava")
    path = tmp_path / "llava" / "config.json"
    plain = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("pooling_shape", "num_frames")}
    path.write_text(json.dumps(plain))
    model, tuned = load_pllava(tmp_path / "llava"), load_pllava(golden / "a_split" / "base")
    assert (model.config.num_frames, model.config.pooling_shape) == (16, (16, 12, 12))
    pixels = torch.randn(4, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    pooled = model.visual_tokens(pixels, num_frames=4, pooling_shape=(4, 2, 2))
    torch.testing.assert_close(pooled, tuned.visual_tokens(pixels), atol=0, rtol=0)


def test_alpha_scales_the_lora_linearly(golden):
    weight = "language_model.model.layers.1.self_attn.q_proj.weight"
    none, four, twelve = (load_pllava(golden / "a", lora_alpha=alpha).state_dict()[weight] for alpha in (0, 4, 12))
    assert (four - none).abs().max() > 1e-4
    torch.testing.assert_close(twelve - none, 3 * (four - none), atol=1e-6, rtol=1e-4)


def test_lora_alpha_must_not_be_negative(golden):
    with pytest.raises(ValueError, match="lora_alpha is -1"):
        load_pllava(golden / "a", lora_alpha=-1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("language_model.base_model.model.model.", "model.language_model."),
        ("language_model.base_model.model.model.", "model.language_model.base_model.model."),
        ("language_model.base_model.model.model.", "language_model.model."),
    ],
)
def test_every_generation_of_names_loads(golden, tmp_path, old, new):
    from safetensors.torch import save_file

    def renamed(key):
        if key.startswith(old):
            return key.replace(old, new)
        head = "lm_head." if new.startswith("model.") else "language_model.lm_head."
        key = key.replace("language_model.base_model.model.lm_head.", head)
        return key if key.startswith(("lm_head.", "language_model.")) else "model." + key

    stored = load_file(golden / "a" / "model.safetensors")
    save_file({renamed(key): tensor for key, tensor in stored.items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((golden / "a" / "config.json").read_text())
    ours, theirs = load_pllava(tmp_path).state_dict(), load_pllava(golden / "a").state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
