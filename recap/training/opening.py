"""From a recipe to the model that learns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel, set_seed

from recap.pllava import Pllava, PllavaConfig, Strategy, get_strategy, load_pllava
from recap.pllava.attention import do_without_cudnn_attention
from recap.pllava.checkpoint import open_checkpoint
from recap.pllava.dtypes import compute_dtype
from recap.pllava.inventory import Inventory
from recap.records import WINDOWS
from recap.training.learner import Learner, make_trainable
from recap.training.recipe import Recipe


def open_learner(recipe: Recipe, folders: Sequence[Path]) -> tuple[Learner, Strategy]:
    """Load the checkpoint in `folders`, the base last, and make trainable what `recipe` names.

    ValueError for a checkpoint that cannot be loaded or has no tokenizer, for LoRA targets it does not have, for
    texts beside which its context does not hold the visual tokens, and for an adapter that would lose some of it.
    """
    checkpoint, base = folders[0], folders[1] if len(folders) > 1 else None
    _, inventory = open_checkpoint(checkpoint, base)
    strategy, windows = get_strategy("pllava", recipe.model.pooling), WINDOWS[recipe.frames.view]
    _check_context(recipe, inventory.config, strategy.token_count(inventory.config, recipe.frames.count, windows))
    if "adapter" in recipe.output.save:
        _check_adapter(inventory)
    dtype = _dtype(recipe.train.precision, inventory)
    pllava = load_pllava(checkpoint, base=base, lora_alpha=recipe.model.lora_alpha, dtype=dtype)
    if pllava.tokenizer is None:
        raise ValueError(f"model.checkpoint: {checkpoint} has no tokenizer.json; copy the one published with it")
    set_seed(recipe.train.seed)
    make_trainable(pllava, recipe.train.trainable, recipe.train.lora)
    if torch.cuda.is_available():
        do_without_cudnn_attention()
    else:
        _attend_eagerly(pllava)
    if recipe.train.gradient_checkpointing:
        _compute_twice(pllava.language_model)
    return Learner(pllava, strategy, windows), strategy


def _check_context(recipe: Recipe, config: PllavaConfig, visual_tokens: int) -> None:
    longest = recipe.data.max_text_tokens - 1 + visual_tokens  # `<image>` gives its place to them
    if longest > config.max_positions:
        raise ValueError(
            f"data.max_text_tokens {recipe.data.max_text_tokens} and {visual_tokens} visual tokens make {longest}, but "
            f"the model holds {config.max_positions}: lower data.max_text_tokens or choose a smaller model.pooling"
        )


def _check_adapter(inventory: Inventory) -> None:
    """Only a plain checkpoint can be named as the base of what was trained on it."""
    if inventory.lora_rank or len(inventory.folders) > 1:
        raise ValueError(
            "output.save: an adapter lies over a whole model without a LoRA, and would lose what model.checkpoint "
            f"{inventory.folders[0]} adds to such a one; save full alone"
        )


def _dtype(precision: str, inventory: Inventory) -> torch.dtype:
    """What weights are loaded in: float16 ones cannot meet activations in bfloat16."""
    if precision == "fp32":
        return torch.float32
    stored = compute_dtype("auto", inventory.config, inventory.stored_dtype)
    return torch.bfloat16 if stored == torch.float16 else stored


def _compute_twice(model: PreTrainedModel) -> None:
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def _attend_eagerly(pllava: Pllava) -> None:
    """On a CPU the backward pass of SDPA took 48 % of a step of the pocket model; eager attention took 1.7× less."""
    for config in (pllava.config.vision, pllava.config.text):
        config._attn_implementation = "eager"
