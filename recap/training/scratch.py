"""An image LLaVA of random weights, with a tokenizer made from the text that it will learn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPVisionModel, LlamaForCausalLM, PreTrainedTokenizerFast

from recap.pllava.config import parse_config
from recap.pllava.keymap import published_key
from recap.pllava.model import Projector
from recap.pllava.new_config import new_config
from recap.pllava.prompts import INSTRUCTIONS, SYSTEMS
from recap.pllava.random_tokenizer import SPECIALS, caption_words, wrapped
from recap.training.samples import Sample
from recap.training.settings import ScratchSettings

_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_ROLES = "USER: ASSISTANT: Human: Assistant:"


def write_untrained(
    folder: Path, sizes: ScratchSettings, pooling: tuple[int, int, int], samples: Iterable[Sample], seed: int
) -> Path:
    """Write config, float32 weights and tokenizer into `folder`; `pooling` is that of one picture."""
    config = _config(sizes, pooling)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokenizer = make_tokenizer(_texts(samples), sizes.vocab_size)
    if len(tokenizer) > sizes.vocab_size:  # bytes and single characters are pieces whatever was asked
        raise ValueError(f"model.scratch.vocab_size {sizes.vocab_size}: this data needs at least {len(tokenizer)}")
    tokenizer.save_pretrained(folder)
    save_file(_weights(config, seed), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def make_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A BPE of at most `vocab_size` pieces over `texts`; what it does not know it spells in bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=[*SPECIALS, *_BYTES], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always"), decoders.Fuse()]
    )
    return wrapped(tokenizer)


def _texts(samples: Iterable[Sample]) -> Iterator[str]:
    yield from (*INSTRUCTIONS.values(), *SYSTEMS.values(), _ROLES, " ".join(caption_words()))
    for sample in samples:
        for turn in sample.turns:
            yield turn.question
            yield turn.answer


def _config(sizes: ScratchSettings, pooling: tuple[int, int, int]) -> dict[str, Any]:
    text = {
        "hidden_size": sizes.hidden_size,
        "intermediate_size": sizes.intermediate_size,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "max_position_embeddings": sizes.max_positions,
    }
    vision = {
        "hidden_size": sizes.vision_hidden_size,
        "intermediate_size": 4 * sizes.vision_hidden_size,
        "num_hidden_layers": sizes.vision_layers,
        "num_attention_heads": sizes.vision_heads,
        "image_size": sizes.image_size,
        "patch_size": sizes.patch_size,
    }
    return new_config("PllavaForConditionalGeneration", pooling[0], pooling, sizes.vocab_size, text, vision)


def _weights(content: dict[str, Any], seed: int) -> dict[str, Tensor]:
    """Every tensor of the published layout, the tower's last block and norm among them, as transformers draws them."""
    config = parse_config(content)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = {
            "vision_tower.": CLIPVisionModel(config.vision),
            "projector.": Projector(config.vision.hidden_size, config.text.hidden_size, config.projector_act),
            "language_model.": LlamaForCausalLM(config.text),
        }
    found = {}
    for prefix, module in parts.items():
        for name, weight in module.state_dict().items():
            ours = prefix + name.removeprefix("vision_model.")
            if not name.endswith("position_ids"):
                found[published_key(ours)] = weight.contiguous()
    return found
