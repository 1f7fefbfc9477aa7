"""PLLaVA-34B at its full size on cards of 80 and 141 GB: nothing is computed, all memory is counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recap.engines import Captioner, EngineSettings, PromptSettings
from recap.engines.pllava_front import CLIPS_TOGETHER, PllavaFront
from recap.engines.transformers_engine import TransformersEngine
from recap.pllava.config import parse_config
from recap.pllava.model import Pllava
from recap.pllava.random_tokenizer import SPECIALS, random_tokenizer
from recap.pllava.visual import get_strategy
from recap.records import Frames

H100, H200 = int(79.1 * 2**30), int(139.8 * 2**30)
CONTEXT = 10**9  # what CUDA and its libraries take for themselves
PATIENCE_S = 250
SIZES = {
    "text_config": {
        "hidden_size": 7168,
        "intermediate_size": 20480,
        "num_hidden_layers": 60,
        "num_attention_heads": 56,
        "num_key_value_heads": 8,
        "vocab_size": 64064,
        "max_position_embeddings": 4096,
        "eos_token_id": SPECIALS.index("</s>"),
    },
    "vision_config": {"image_size": 336, "patch_size": 14},
    "image_token_index": SPECIALS.index("<image>"),
    "pad_token_id": SPECIALS.index("<pad>"),
    "num_frames": 16,
    "pooling_shape": [16, 12, 12],
}


@pytest.fixture(scope="module")
def pllava(chip):
    chip.set_dry(True)
    with torch.device("meta"):
        model = Pllava(parse_config(SIZES)).to(torch.bfloat16)
    model.to_empty(device="cuda").restore_buffers()
    model.tokenizer = random_tokenizer()
    return model.requires_grad_(False).eval()


def blank() -> Frames:
    pixels = np.zeros((16, 336, 336, 3), np.uint8)
    return Frames(pixels, tuple(range(16)), 1.0, 1920, 1080, 25.0, 16.0, "h264", "pyav")


@pytest.mark.parametrize(("card", "slots"), [(H100, 14), (H200, 64)])
def test_a_card_holds_what_the_engine_thinks_it_holds(chip, pllava, card, slots, caplog):
    chip.set_dry(True)
    chip.forget_peak()
    chip.resize(0, card - CONTEXT)
    settings = EngineSettings(batch_size=64, max_new_tokens=2)
    strategy = get_strategy("pllava")
    front = PllavaFront(pllava, PromptSettings(), settings, strategy.frame_request(pllava.config, 16), strategy)
    engine = TransformersEngine(pllava.language_model, end_token_ids=[1], batch_size=64, headroom=398)
    captioner, frames = Captioner(engine, front), blank()
    answers = [captioner.submit(f"clip{number}", frames) for number in range(slots + 40)]
    try:
        assert all(answer.result(PATIENCE_S) for answer in answers)
        assert engine.slots == slots and front.together == CLIPS_TOGETHER
    finally:
        captioner.close()
    print(f"peak {chip.peak(0) / 1e9:.1f} of {chip.capacity(0) / 1e9:.1f} GB")
    assert not caplog.text and 69e9 < chip.peak(0) < card - 2 * CONTEXT
