"""RMSNorm (arXiv 1910.07467) as one operation."""

from __future__ import annotations

from torch import nn
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from recap.engines.swapping import swap_layers


def fuse_norms(model: LlamaForCausalLM) -> None:
    """Have `model` normalise by torch's own RMSNorm, with the same weights.

    transformers' is seven operations, and a card reads and writes all activations for each. In float32 the numbers are
    the same; in shorter types they are rounded once less.
    """
    swap_layers(model, LlamaRMSNorm, _fused)


def _fused(norm: LlamaRMSNorm) -> nn.RMSNorm:
    fused = nn.RMSNorm(norm.weight.shape, norm.variance_epsilon, device="meta")
    fused.weight = norm.weight
    return fused
