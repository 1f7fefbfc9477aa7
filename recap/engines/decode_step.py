"""The decode step: one token of every text, through the blocks of a Llama.

transformers' own forward would repeat keys and values for each query head, as there is a mask: for PLLaVA-34B seven
times the bytes that a step has to read. And its many small operations would keep a GPU waiting for the processor
that launches them. What has weights is transformers' modules all the same, wherever accelerate keeps them.

Shapes use: rows (one for each text), hidden, heads, groups (of heads that share keys and values), width (of a head),
bound (positions that are looked at).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaModel

from recap.engines.kv_cache import SlotCache, SlotLayer
from recap.engines.memory import computes_on


def decode_step(model: LlamaForCausalLM, inputs: Tensor, positions: Tensor, mask: Tensor, cache: SlotCache) -> Tensor:
    """Scores of the next tokens (rows, vocabulary), from the last ones' embeddings (rows, hidden) at `positions`.

    `mask` (rows, bound) is added to what each text makes of its positions. `cache` was told where keys and values go.
    """
    llama, hidden = model.model, inputs
    turn = _rotation(llama, inputs, positions)
    for block, layer in zip(llama.layers, cache.layers, strict=True):
        hidden = hidden.to(computes_on(block))
        normed = block.input_layernorm(hidden)
        hidden = hidden + _attended(block.self_attn, normed, turn, mask.to(hidden.device), layer)
        hidden = hidden + block.mlp(block.post_attention_layernorm(hidden))
    hidden = llama.norm(hidden.to(computes_on(llama.norm)))
    return model.lm_head(hidden.to(computes_on(model.lm_head))).to(inputs.device)


def _attended(
    attention: LlamaAttention, hidden: Tensor, turn: Callable[[Tensor], Tensor], mask: Tensor, layer: SlotLayer
) -> Tensor:
    """The heads of a group stand where a longer query's positions would, so that their keys are read once."""
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    query, key, value = (project(hidden).unflatten(-1, (-1, attention.head_dim)) for project in projections)
    keys, values = layer.update(turn(key)[:, :, None], value[:, :, None])
    grouped = turn(query).unflatten(1, (keys.shape[1], -1))
    attended = scaled_dot_product_attention(
        _filled(grouped), keys, values, attn_mask=mask[:, None, None], scale=attention.scaling
    )
    return attention.o_proj(attended[:, :, : grouped.shape[2]].flatten(1))


def heads_together(count: int, device: torch.device) -> int:
    """How many query heads a step attends with to the same keys where there are `count`: on a CPU an even number.

    Buffers of its threads would else be aligned differently, and last bits depend on which of them takes a row.
    """
    return count + count % 2 if device.type == "cpu" and torch.get_num_threads() > 1 else count


def _filled(grouped: Tensor) -> Tensor:
    """With a head of zeros where there is to be one more."""
    lacking = heads_together(grouped.shape[2], grouped.device) - grouped.shape[2]
    return pad(grouped, (0, 0, 0, lacking)) if lacking else grouped


def _rotation(llama: LlamaModel, inputs: Tensor, positions: Tensor) -> Callable[[Tensor], Tensor]:
    """Turns queries and keys (rows, heads, width) to their rows' `positions` (RoPE, arXiv 2104.09864)."""
    cosine, sine = llama.rotary_emb(inputs, positions[:, None])
    low, high = sine.chunk(2, -1)
    sine, half = torch.cat((-low, high), -1), low.shape[-1]

    def turn(heads: Tensor) -> Tensor:
        return heads * cosine.to(heads.device) + heads.roll(half, -1) * sine.to(heads.device)

    return turn
