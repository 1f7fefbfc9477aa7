from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from recap.records import Frames

VOCABULARY = 61
HIDDEN = 32


@pytest.fixture(scope="session")
def language_model() -> LlamaForCausalLM:
    """Grouped-query and random; initialised wide enough that its texts differ and some of them end."""
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.4,
        bos_token_id=1,
        eos_token_id=[2, 7, 9],
    )
    return LlamaForCausalLM(config).float().eval()


@pytest.fixture
def make_frames():
    """Frames of four coloured squares: a random tower sees plain noise as all the same."""

    def make(seed: int, *, size: int = 8, count: int = 4, windows: int = 1) -> Frames:
        colours = np.random.default_rng(seed).integers(0, 256, (windows * count, 2, 2, 3), np.uint8)
        pixels = colours.repeat(size // 2, axis=1).repeat(size // 2, axis=2)
        return Frames(pixels, tuple(range(count)), 1.0, 64, 48, 25.0, float(count), "h264", "decord")

    return make
