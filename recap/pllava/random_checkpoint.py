"""A small PLLaVA of random weights in the layout of the published ones, for tests and rehearsals.

As on the hub, the class name is misspelt, the language model is wrapped by PEFT and its LoRA is not merged.
What it says is word salad, but words.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from recap.pllava.config import parse_config
from recap.pllava.keymap import published_key
from recap.pllava.model import Pllava
from recap.pllava.new_config import new_config
from recap.pllava.random_tokenizer import SPECIALS, random_tokenizer, vocabulary

LORA_RANK = 8
_CLASS = "PlavaForConditionalGeneration"
_PATCH = 14
_LORA_TARGETS = (".self_attn.q_proj.weight", ".self_attn.v_proj.weight")
_EMBEDDING = "language_model.model.embed_tokens.weight"
_HEAD = "language_model.lm_head.weight"
# How strongly a word calls for its follower, against noise of 1; and how many words like to end a caption.
_HABIT = 1.5
_LAST_WORDS = 10


def write_random_checkpoint(
    folder: str | Path,
    *,
    seed: int,
    num_frames: int = 16,
    grid: int = 4,
    pooling_shape: tuple[int, int, int] = (16, 2, 2),
    hidden_size: int = 64,
    layers: int = 3,
) -> Path:
    """Write config, weights and tokenizer into `folder` and return it: the same bytes for the same arguments.

    Frames are `num_frames` squares of `14·grid` pixels. `hidden_size` is that of the language model, a
    multiple of 8; it has `layers` blocks with four heads over two key-value heads. The weights are stored in
    bfloat16, to be computed with in float32.
    """
    config = _config(num_frames, grid, pooling_shape, hidden_size, layers)
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(_weights(config, seed), path / "model.safetensors", metadata={"format": "pt"})
    random_tokenizer().save_pretrained(path)
    return path


def _config(
    num_frames: int, grid: int, pooling_shape: tuple[int, int, int], hidden_size: int, layers: int
) -> dict[str, Any]:
    text = {
        "hidden_size": hidden_size,
        "intermediate_size": hidden_size * 3 // 2,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": _PATCH * grid,
        "patch_size": _PATCH,
    }
    return new_config(_CLASS, num_frames, pooling_shape, len(vocabulary()), text, vision)


def _weights(config: dict[str, Any], seed: int) -> dict[str, Tensor]:
    """Every tensor under its published name, drawn in the order of the model's parameters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        model = Pllava(parse_config(config))
    drawn = {name: _drawn(name, parameter.shape, generator) for name, parameter in model.named_parameters()}
    drawn[_HEAD] = _speaking(drawn[_HEAD], drawn[_EMBEDDING], generator)
    return {
        key: tensor.to(torch.bfloat16).contiguous()
        for name, weight in drawn.items()
        for key, tensor in _published(name, weight, generator)
    }


def _drawn(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    if name.endswith("bias"):
        return torch.zeros(shape)
    if "norm" in name:
        return torch.ones(shape)
    if name == _EMBEDDING:
        return torch.randn(shape, generator=generator)
    fan_in = math.prod(shape[1:]) if len(shape) > 1 else 1
    return torch.randn(shape, generator=generator) / math.sqrt(fan_in)


def _speaking(head: Tensor, embedding: Tensor, generator: torch.Generator) -> Tensor:
    """A head that says words: each tends to follow one other, and what is seen makes it leave that round.

    Without this a random model repeats one word for ever. Letters are never said, and a caption does not end
    on the colon that its prompt ends with.
    """
    pieces, end = vocabulary(), SPECIALS.index("</s>")
    words = torch.tensor([index for index, piece in enumerate(pieces) if len(piece) > 1 and piece not in SPECIALS])
    words = words[torch.randperm(len(words), generator=generator)]
    speaking = torch.zeros_like(head)
    calls = embedding / math.sqrt(head.shape[1])
    speaking[words] = head[words] + _HABIT * calls[words.roll(1)]
    speaking[end] = calls[words[:_LAST_WORDS]].sum(0) - calls[pieces.index(":")]
    return speaking


def _published(name: str, weight: Tensor, generator: torch.Generator) -> list[tuple[str, Tensor]]:
    key = published_key(name)
    if not (name.startswith("language_model.") and name.endswith(_LORA_TARGETS)):
        return [(key, weight)]
    stem, (rows, columns) = key.removesuffix(".weight"), weight.shape
    down = torch.randn(LORA_RANK, columns, generator=generator) / math.sqrt(columns)
    up = torch.randn(rows, LORA_RANK, generator=generator) / math.sqrt(LORA_RANK)
    return [
        (f"{stem}.base_layer.weight", weight),
        (f"{stem}.lora_A.default.weight", down),
        (f"{stem}.lora_B.default.weight", up),
    ]
