"""From the tensor names of any PLLaVA or LLaVA checkpoint to the names of our modules.

Three generations of files exist: the published one (language model wrapped by PEFT, LoRA unmerged), plain
LLaVA as transformers wrote it until 4.51, and today's. In merged checkpoints of ours the language model goes
by plain Llama's names. One ordered list of prefixes reads them all.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Part = Literal["weight", "lora_A", "lora_B"]

# The first prefix that matches is replaced; order matters.
_PREFIXES = (
    (re.compile(r"^(base_model\.model\.)?(model\.)?vision_tower\.(vision_model\.)?"), "vision_tower."),
    (re.compile(r"^(base_model\.model\.)?(model\.)?multi_modal_projector\."), "projector."),
    (
        re.compile(r"^(base_model\.model\.)?model\.language_model\.(base_model\.model\.)?"),
        "language_model.model.",
    ),
    (re.compile(r"^(base_model\.model\.)?language_model\.(base_model\.model\.)?"), "language_model."),
    (re.compile(r"^(base_model\.model\.)?lm_head\."), "language_model.lm_head."),
    (re.compile(r"^model\.(?=(embed_tokens|layers|norm)\.)"), "language_model.model."),
)
_LORA = re.compile(r"\.(lora_[AB])(\.default)?\.weight$")
# What a checkpoint may hold and PLLaVA does not use: computed buffers, the norm that only the class token
# meets, and the separator of LLaVA-NeXT's many-tile images.
_UNUSED = re.compile(
    r"(\.position_ids|\.inv_freq)$|^vision_tower\.post_layernorm\.|^(model\.)?image_newline$|^language_model\.image_newline$"
)
# Our names as the published files spell them.
_PUBLISHED = (
    ("vision_tower.", "vision_tower.vision_model."),
    ("projector.", "multi_modal_projector."),
    ("language_model.", "language_model.base_model.model."),
)
_VISION_BLOCK = re.compile(r"^vision_tower\.encoder\.layers\.(\d+)\.")


class Place(NamedTuple):
    """Where a tensor belongs: the parameter of ours, and whether it is the weight or half of its LoRA."""

    parameter: str
    part: Part


def place(key: str) -> Place:
    """Our place for the tensor that a checkpoint calls `key`; an unknown name is handed back unchanged."""
    name = key
    for pattern, ours in _PREFIXES:
        name, found = pattern.subn(ours, key)
        if found:
            break
    if lora := _LORA.search(name):
        return Place(name[: lora.start()] + ".weight", lora.group(1))
    return Place(name.replace(".base_layer.", "."), "weight")


def is_unused(parameter: str, vision_blocks: int) -> bool:
    """Whether PLLaVA can do without `parameter` (our name) when only `vision_blocks` of the tower run."""
    block = _VISION_BLOCK.match(parameter)
    return bool(_UNUSED.search(parameter)) or (block is not None and int(block.group(1)) >= vision_blocks)


def published_key(name: str) -> str:
    """What the published files, whose language model is wrapped by PEFT, call our tensor `name`."""
    return next(name.replace(ours, theirs, 1) for ours, theirs in _PUBLISHED if name.startswith(ours))
