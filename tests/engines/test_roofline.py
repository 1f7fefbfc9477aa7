from __future__ import annotations

from dataclasses import replace

import pytest
from torch.utils.flop_counter import FlopCounterMode

from recap.engines.roofline import (
    Ceilings,
    Shape,
    clip_seconds,
    clips_per_s,
    decode_bytes,
    decode_flops,
    prefill_flops,
)

YI_34B = Shape(60, 7168, 56, 8, 128, 20480, 64064)
H200 = Ceilings(flops_per_s=700e12, bytes_per_s=4e12)
CLIP = {"prompt": 2560, "new_tokens": 256}


def test_the_34b_has_the_published_sizes():
    embeddings = YI_34B.head_weights
    assert YI_34B.block_weights + YI_34B.head_weights + embeddings == pytest.approx(34.4e9, rel=0.01)
    assert YI_34B.position_bytes == 245_760
    assert prefill_flops(YI_34B, 2500) == pytest.approx(172e12, rel=0.03)


def test_flops_are_those_that_torch_counts(language_model):
    import torch

    config = language_model.config
    shape = Shape(2, config.hidden_size, 4, 2, 8, config.intermediate_size, config.vocab_size, 4)
    language_model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        language_model(torch.full((1, 40), 11), logits_to_keep=1)
    language_model.set_attn_implementation("sdpa")
    square = 4 * 2 * 4 * 8 * (40 * 40 - 40 * 41 // 2)  # torch multiplies what the mask hides, too
    rotary = 2 * 40 * 8 // 2  # positions times frequencies, a matrix product in transformers 5.17, not in 5.23
    expected = prefill_flops(shape, 40) + 2 * shape.head_weights + square
    assert counter.get_total_flops() - expected in (0, rotary)
    assert decode_flops(shape, 3, 40) == 3 * (prefill_flops(shape, 1) + 2 * shape.head_weights + 4 * 2 * 4 * 8 * 39)


def test_a_step_reads_the_weights_once_and_every_texts_cache(language_model):
    weights = sum(weight.numel() for name, weight in language_model.named_parameters() if weight.dim() == 2)
    embeddings = language_model.get_input_embeddings().weight.numel()
    shape = Shape(2, 32, 4, 2, 8, 48, 61, 4)
    assert decode_bytes(shape, 0, 0) == 4 * (weights - embeddings)
    assert decode_bytes(shape, 3, 10) - decode_bytes(shape, 0, 0) == 3 * 10 * 2 * 2 * 2 * 8 * 4


def test_more_texts_share_the_reading_of_weights():
    alone, crowd = (clip_seconds(YI_34B, H200, texts=texts, **CLIP) for texts in (1, 64))
    assert alone[0] == crowd[0] == prefill_flops(YI_34B, 2560) / 700e12
    assert alone[1] == pytest.approx(256 * decode_bytes(YI_34B, 1, 2688) / 4e12)
    assert crowd[1] < alone[1] / 30
    assert 8 < clips_per_s(YI_34B, H200, texts=64, **CLIP) / clips_per_s(YI_34B, H200, texts=1, **CLIP) < 18


def test_a_step_over_many_texts_is_bound_by_computing():
    slow = replace(H200, flops_per_s=1e12)
    _, decode = clip_seconds(YI_34B, slow, texts=64, **CLIP)
    assert decode == pytest.approx(256 * decode_flops(YI_34B, 1, 2688) / 1e12)


def test_the_bound_grows_with_either_ceiling():
    bound = clips_per_s(YI_34B, H200, texts=32, **CLIP)
    assert clips_per_s(YI_34B, replace(H200, bytes_per_s=8e12), texts=32, **CLIP) > bound
    assert clips_per_s(YI_34B, Ceilings(1400e12, 8e12), texts=32, **CLIP) == pytest.approx(2 * bound)
