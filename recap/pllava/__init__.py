"""PLLaVA: a LLaVA that watches sixteen frames through a pooled projector (arXiv 2404.16994).

Names load on first use, so that rendering a prompt or hashing a folder does not import the model.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recap.pllava.checkpoint import load_pllava, load_without_blocks
    from recap.pllava.config import PllavaConfig, read_config
    from recap.pllava.digest import checkpoint_bytes, weight_digest
    from recap.pllava.export import merge_checkpoint
    from recap.pllava.glance import check_checkpoint
    from recap.pllava.model import Pllava
    from recap.pllava.normalisation import normalise
    from recap.pllava.prompts import render_prompt, resolve_instruction, resolve_system, template_slots
    from recap.pllava.splicing import left_pad, splice
    from recap.pllava.visual import Strategy, check_context, get_strategy

_HOMES = {
    "load_pllava": "checkpoint",
    "load_without_blocks": "checkpoint",
    "PllavaConfig": "config",
    "read_config": "config",
    "checkpoint_bytes": "digest",
    "weight_digest": "digest",
    "merge_checkpoint": "export",
    "check_checkpoint": "glance",
    "Pllava": "model",
    "normalise": "normalisation",
    "render_prompt": "prompts",
    "resolve_instruction": "prompts",
    "resolve_system": "prompts",
    "template_slots": "prompts",
    "left_pad": "splicing",
    "splice": "splicing",
    "Strategy": "visual",
    "check_context": "visual",
    "get_strategy": "visual",
}

__all__ = [
    "Pllava",
    "PllavaConfig",
    "Strategy",
    "check_checkpoint",
    "check_context",
    "checkpoint_bytes",
    "get_strategy",
    "left_pad",
    "load_pllava",
    "load_without_blocks",
    "merge_checkpoint",
    "normalise",
    "read_config",
    "render_prompt",
    "resolve_instruction",
    "resolve_system",
    "splice",
    "template_slots",
    "weight_digest",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
