"""The decode step's attention: query heads that share a key head are handled together.

transformers may repeat keys and values for each query head when there is a mask, which for PLLaVA-34B would
read seven times the bytes that a step has to read. Here the query heads of one group stand where a longer
query's positions would, so keys and values are read once, where they lie.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "recap_grouped"


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs,
) -> tuple[Tensor, None]:
    """SDPA; a query (rows, heads, 1, width) of one position over keys (rows, groups, bound, width) without copies.

    The mask, where there is one, is (rows, 1, 1, bound). Returns (rows, positions, heads, width).
    """
    rows, heads, positions, width = query.shape
    if positions > 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    grouped = query.reshape(rows, key.shape[1], -1, width)
    attended = scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
    return attended.reshape(rows, 1, heads, width), None


def use_grouped_attention(model: PreTrainedModel) -> None:
    """Let `model` compute attention so from now on, whoever calls it."""
    AttentionInterface.register(NAME, grouped_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
