"""The model on cards: the numbers of the reference, wherever its parts lie."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from recap.pllava import load_pllava

PLACES = (
    {"": 0},
    {"": 1},
    {"": 0, "language_model.model.layers.1": 1, "language_model.lm_head": 1},
    {"": 1, "vision_tower": 0, "projector": 0, "language_model.model.embed_tokens": 0},
    {"": 0, "language_model.model.layers.1": "cpu", "language_model.model.layers.2": "disk"},
    {"": 0, "vision_tower": "cpu", "projector": "disk", "language_model.lm_head": "cuda:1"},
)


@pytest.mark.parametrize("device_map", PLACES, ids=str)
def test_the_references_numbers(golden, device_map):
    expected = load_file(golden / "a" / "golden.safetensors")
    inputs = [expected[name] for name in ("input_ids", "attention_mask", "pixel_values")]
    model = load_pllava(golden / "a", device_map=device_map)
    assert model.device.type == "cuda"
    logits = model.logits(*inputs).cpu()
    for row, start in enumerate((expected["attention_mask"] == 0).sum(1).tolist()):
        torch.testing.assert_close(logits[row, start:], expected["logits_alpha4"][row, start:], atol=1e-4, rtol=0)
    assert model.generate(*inputs, 12) == expected["greedy_alpha4"].tolist()


@pytest.mark.parametrize("device", ("cuda", "cuda:1"))
def test_loading_takes_little_more_than_the_weights(chip, checkpoint, device):
    index = torch.device(device).index or 0
    chip.forget_peak()
    before, beside = chip.used(index), chip.used(1 - index)
    model = load_pllava(checkpoint, device=device)
    largest = max(parameter.nbytes for parameter in model.parameters())
    weights = chip.used(index) - before
    assert sum(parameter.nbytes for parameter in model.parameters()) <= weights
    assert chip.peak(index) - before <= weights + 6 * largest and chip.used(1 - index) == beside
