"""Layers of a model in the place of others that compute the same, slower."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

Layer = TypeVar("Layer", bound=nn.Module)


def swap_layers(model: nn.Module, kind: type[Layer], make: Callable[[Layer], nn.Module]) -> None:
    """Put what `make` makes of each layer of exactly that `kind` into its place.

    Layers whose weights accelerate brings from elsewhere stay as they are.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is kind and not hasattr(child, "_hf_hook"):
                setattr(parent, name, make(child))
