"""How many clips a GPU holds at a time, and how much of its memory a run takes: PLLaVA at its full sizes.

    make .venv/installed-cards
    PATH="$PWD/.venv/bin:$PATH" PYTHONPATH=. .venv/bin/python benchmarks/card_memory.py [--json]

Needs no GPU: the code of a run goes through all its shapes on a pretended card (tests/cards/chip.cpp) that counts
every allocation and computes nothing. What a real card loses to CUDA itself is taken off before (1 GB); what its
allocator loses to gaps, and what CUDA graphs of steps take, is not seen. Texts are of two tokens, their rows in the
cache as long as `--new-tokens` asks.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from recap.engines import Captioner, EngineSettings, PromptSettings, pllava_front
from recap.engines.pllava_front import PllavaFront
from recap.engines.transformers_engine import TransformersEngine
from recap.pllava.config import parse_config
from recap.pllava.model import Pllava
from recap.pllava.random_tokenizer import SPECIALS, random_tokenizer
from recap.pllava.visual import get_strategy
from recap.records import Frames

CARDS = {"24 GB": 23.6, "40 GB": 39.4, "48 GB": 47.5, "80 GB": 79.1, "141 GB": 139.8}  # GiB that the driver shows
CONTEXT = 10**9
BEYOND_SLOTS = 12  # clips
SIZES = {
    "7b": {
        "vocab_size": 32064,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "13b": {
        "vocab_size": 32064,
        "hidden_size": 5120,
        "intermediate_size": 13824,
        "num_hidden_layers": 40,
        "num_attention_heads": 40,
    },
    "34b": {
        "vocab_size": 64064,
        "hidden_size": 7168,
        "intermediate_size": 20480,
        "num_hidden_layers": 60,
        "num_attention_heads": 56,
        "num_key_value_heads": 8,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--cards", nargs="+", default=list(CARDS), choices=CARDS)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=400)
    parser.add_argument("--json", action="store_true", help="print the JSON list only")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    chip = pretended_cards()
    found = [row for name in arguments.models for row in rows(chip, name, arguments)]
    if not arguments.json:
        for row in found:
            print(
                "{model:>4} on {card:>6}: {clips:3} clips at a time, {peak_gb:5.1f} of {has_gb:5.1f} GB".format(**row)
            )
    print(json.dumps(found))


def pretended_cards() -> ModuleType:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "cards"))
    import pretend

    chip = pretend.insert(1 << 40)
    chip.set_dry(True)
    return chip


def rows(chip: ModuleType, name: str, arguments: argparse.Namespace) -> list[dict]:
    gc.collect()
    chip.resize(0, 1 << 40)
    model = published(name)
    weights, found = chip.used(0), []
    for card in arguments.cards:
        has = int(CARDS[card] * 2**30)
        if weights + CONTEXT < has:
            chip.resize(0, has - CONTEXT)
            clips, peak = walk(chip, model, arguments.batch_size, arguments.new_tokens)
            found.append({"model": name, "card": card, "clips": clips, "weights_gb": weights / 1e9})
            found[-1] |= {"peak_gb": (peak + CONTEXT) / 1e9, "has_gb": has / 1e9}
    return found


def published(name: str) -> Pllava:
    """A PLLaVA of the published sizes in bfloat16, with whatever for weights."""
    config = {
        "text_config": SIZES[name] | {"max_position_embeddings": 4096, "eos_token_id": SPECIALS.index("</s>")},
        "vision_config": {},
        "image_token_index": SPECIALS.index("<image>"),
        "pad_token_id": SPECIALS.index("<pad>"),
        "num_frames": 16,
        "pooling_shape": [16, 12, 12],
    }
    with torch.device("meta"):
        model = Pllava(parse_config(config)).to(torch.bfloat16)
    model.to_empty(device="cuda").restore_buffers()
    model.tokenizer = random_tokenizer()
    return model.requires_grad_(False).eval()


def walk(chip: ModuleType, model: Pllava, batch_size: int, new_tokens: int) -> tuple[int, int]:
    """Caption some clips; how many were written at a time, and the most bytes that were ever taken."""
    chip.forget_peak()
    settings, strategy = EngineSettings(batch_size=batch_size, max_new_tokens=2), get_strategy("pllava")
    front = PllavaFront(model, PromptSettings(), settings, strategy.frame_request(model.config, 16), strategy)
    headroom, ends = new_tokens - settings.max_new_tokens, [1]
    engine = TransformersEngine(
        model.language_model, end_token_ids=ends, batch_size=batch_size, headroom=headroom, cuda_graphs=False
    )
    pllava_front.finite = lambda visual: [True] * len(visual)
    captioner, pixels = Captioner(engine, front), np.zeros((16, 336, 336, 3), np.uint8)
    frames = Frames(pixels, tuple(range(16)), 1.0, 1920, 1080, 25.0, 16.0, "h264", "pyav")
    answers = [captioner.submit(f"clip{number}", frames) for number in range(batch_size + BEYOND_SLOTS)]
    try:
        for answer in answers:
            answer.exception()  # a text of no numbers, as nothing is computed
        return engine.slots, chip.peak(0)
    finally:
        captioner.close()


if __name__ == "__main__":
    main()
