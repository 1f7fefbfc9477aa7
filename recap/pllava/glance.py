"""Whether a checkpoint is whole, seen without transformers' models, which take seconds to import.

Nor is torch loaded, but by what reads tokenizers in older releases of transformers. What a model of ordinary settings
is made of can be said here; of any other the model itself is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recap.pllava.config import PllavaConfig
from recap.pllava.inventory import check_complete, read_inventory
from recap.pllava.tokenizer import load_tokenizer

Shapes = Iterator[tuple[str, tuple[int, ...]]]
_COUNTS = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_VISION_COUNTS = (*_COUNTS, "projection_dim", "num_channels", "image_size", "patch_size")
_TEXT_COUNTS = (*_COUNTS, "num_key_value_heads", "max_position_embeddings", "vocab_size")
_ACTIVATIONS = ("gelu", "quick_gelu", "silu")


def check_checkpoint(checkpoint: str | Path, base: str | Path | None = None) -> None:
    """Raise the ValueError that `load_pllava` would, without reading weights."""
    inventory = read_inventory(checkpoint, base)
    if is_ordinary(inventory.config):
        check_complete(inventory, parameter_shapes(inventory.config))
    else:
        from recap.pllava.checkpoint import model_of

        model_of(inventory)
    load_tokenizer(inventory.folders, inventory.config)


def is_ordinary(config: PllavaConfig) -> bool:
    """Whether transformers makes a model of these settings for certain."""
    vision, text = config.vision_settings, config.text_settings
    return (
        _all_counts(vision, _VISION_COUNTS)
        and _all_counts(text, _TEXT_COUNTS)
        and not vision["hidden_size"] % vision["num_attention_heads"]
        and not text["hidden_size"] % text["num_attention_heads"]
        and not text["num_attention_heads"] % text["num_key_value_heads"]
        and text["head_dim"] is None
        and all(type(number) is float for number in (vision["layer_norm_eps"], text["rms_norm_eps"]))
        and all(type(choice) is bool for choice in (text["attention_bias"], text["mlp_bias"]))
        and type(text["bos_token_id"]) is int
        and all(act in _ACTIVATIONS for act in (vision["hidden_act"], text["hidden_act"], config.projector_act))
        and _is_plain_rope(text["rope_parameters"])
    )


def parameter_shapes(config: PllavaConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter of an ordinary `Pllava`, by its name."""
    hidden, features = config.text_settings["hidden_size"], config.vision_settings["hidden_size"]
    return dict(
        [
            *_tower(config),
            *_linear("projector.linear_1", hidden, features),
            *_linear("projector.linear_2", hidden, hidden),
            *_language_model(config.text_settings),
        ]
    )


def _all_counts(settings: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    return all(type(settings[key]) is int and settings[key] >= 1 for key in keys)


def _is_plain_rope(rope: Mapping[str, Any]) -> bool:
    return rope.keys() == {"rope_type", "rope_theta"} and (
        rope["rope_type"] == "default" and type(rope["rope_theta"]) in (int, float) and 0 < rope["rope_theta"] < 2**53
    )


def _tower(config: PllavaConfig) -> Shapes:
    settings = config.vision_settings
    hidden, inner, patch = settings["hidden_size"], settings["intermediate_size"], settings["patch_size"]
    yield "vision_tower.embeddings.class_embedding", (hidden,)
    yield "vision_tower.embeddings.patch_embedding.weight", (hidden, settings["num_channels"], patch, patch)
    yield "vision_tower.embeddings.position_embedding.weight", (config.grid**2 + 1, hidden)
    yield from _norm("vision_tower.pre_layrnorm", hidden)
    for number in range(config.vision_blocks):
        block = f"vision_tower.encoder.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _linear(f"{block}.self_attn.{name}", hidden, hidden)
        yield from _linear(f"{block}.mlp.fc1", inner, hidden)
        yield from _linear(f"{block}.mlp.fc2", hidden, inner)
        yield from _norm(f"{block}.layer_norm1", hidden)
        yield from _norm(f"{block}.layer_norm2", hidden)


def _language_model(settings: Mapping[str, Any]) -> Shapes:
    hidden, vocabulary = settings["hidden_size"], settings["vocab_size"]
    yield "language_model.model.embed_tokens.weight", (vocabulary, hidden)
    for number in range(settings["num_hidden_layers"]):
        yield from _block(f"language_model.model.layers.{number}", settings)
    yield "language_model.model.norm.weight", (hidden,)
    yield "language_model.lm_head.weight", (vocabulary, hidden)


def _block(name: str, settings: Mapping[str, Any]) -> Shapes:
    hidden, inner = settings["hidden_size"], settings["intermediate_size"]
    shared = hidden // settings["num_attention_heads"] * settings["num_key_value_heads"]
    for projection, width in (("q_proj", hidden), ("k_proj", shared), ("v_proj", shared), ("o_proj", hidden)):
        yield from _linear(f"{name}.self_attn.{projection}", width, hidden, bias=settings["attention_bias"])
    for projection, *shape in (("gate_proj", inner, hidden), ("up_proj", inner, hidden), ("down_proj", hidden, inner)):
        yield from _linear(f"{name}.mlp.{projection}", *shape, bias=settings["mlp_bias"])
    yield f"{name}.input_layernorm.weight", (hidden,)
    yield f"{name}.post_attention_layernorm.weight", (hidden,)


def _linear(name: str, to: int, of: int, *, bias: bool = True) -> Shapes:
    yield f"{name}.weight", (to, of)
    if bias:
        yield f"{name}.bias", (to,)


def _norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)
