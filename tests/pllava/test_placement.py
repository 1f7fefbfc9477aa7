"""A model in several places gives the numbers of a model in one."""

from __future__ import annotations

import gc
import tempfile

import pytest
import torch
from safetensors.torch import load_file

from recap.pllava import load_pllava

MIXED = {
    "": "cpu",
    "vision_tower.embeddings": "disk",
    "language_model.model.embed_tokens": "disk",
    "language_model.model.layers.1": "disk",
    "language_model.lm_head": "disk",
}


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.parametrize("device_map", [MIXED, {"": "disk"}])
def test_cpu_and_disk_equal_the_reference(golden, device_map):
    model = load_pllava(golden / "a", device_map=device_map)
    expected = load_file(golden / "a" / "golden.safetensors")
    inputs = [expected[name] for name in ("input_ids", "attention_mask", "pixel_values")]
    kept = [name for name, parameter in model.named_parameters() if parameter.device.type != "meta"]
    assert not any(name.startswith("language_model.model.layers.1.") for name in kept)
    assert bool(kept) == (device_map is MIXED)
    same = (model.logits(*inputs), load_pllava(golden / "a").logits(*inputs))
    torch.testing.assert_close(*same, atol=0, rtol=0)
    padding = (expected["attention_mask"] == 0).sum(1).tolist()
    for row, start in enumerate(padding):
        torch.testing.assert_close(same[0][row, start:], expected["logits_alpha4"][row, start:], atol=1e-4, rtol=0)
    assert model.generate(*inputs, 12) == expected["greedy_alpha4"].tolist()


def test_only_merged_weights_are_copied_and_they_go_with_the_model(written, tmp_path):
    model = load_pllava(written, device_map={"": "disk"})
    copies = [path.name for path in tmp_path.rglob("*.dat")]
    merged = [key for key in load_file(written / "model.safetensors") if ".lora_A." in key]
    assert len(copies) == len(merged) > 0
    assert all("q_proj" in name or "v_proj" in name for name in copies)
    del model
    gc.collect()
    assert not list(tmp_path.rglob("*.dat"))
    load_pllava(written, device_map={"": "disk"}, lora_alpha=0)
    assert not list(tmp_path.rglob("*.dat"))


def test_disk_weights_take_the_dtype_of_the_others(written):
    model = load_pllava(written, device_map={"": "cpu", "projector": "disk"}, dtype="bfloat16")
    assert model.visual_tokens(torch.zeros(16, 3, 56, 56)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("device_map", "message"),
    [
        ({"language_model.layers.0": "cpu"}, r"names language_model\.layers\.0, which the model does not have"),
        ({"vision_tower": "cpu"}, "no place for projector.linear_1.weight"),
        ({"": "cpu", "language_model.model.layers.0.mlp": "disk"}, "splits a block"),
        ({"": "floppy"}, "device_map.*is 'floppy'; give a card"),
    ],
)
def test_what_is_refused(written, device_map, message):
    with pytest.raises(ValueError, match=message):
        load_pllava(written, device_map=device_map)
