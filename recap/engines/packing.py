"""Linear layers whose weights stand as oneDNN reads them."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from recap.engines.swapping import swap_layers

Model = TypeVar("Model", bound=nn.Module)


def packed(model: Model) -> Model:
    """`model` itself, its float32 `nn.Linear`s packed where they compute on a CPU with AVX-512; for inference alone.

    torch gives float32 to MKL, which makes do with AVX2 where the processor is not Intel's: oneDNN is twice as fast
    there. The operations are those that torch's compiler emits for a linear layer whose weight is frozen.
    """
    if pays():
        swap_layers(model, nn.Linear, lambda linear: PackedLinear(linear) if _fits(linear) else linear)
    return model


class PackedLinear(nn.Module):
    """Rows (…, inputs) as (…, outputs), in float32; of four and more none depends on how many there are."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self.weight, self.bias = nn.Parameter(weight, requires_grad=False), linear.bias

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(inputs, self.weight, self.bias, "none", [], "")


def pays() -> bool:
    """Whether this processor gains anything by it."""
    return torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"


def _fits(linear: nn.Linear) -> bool:
    return linear.weight.device.type == "cpu" and linear.weight.dtype == torch.float32
