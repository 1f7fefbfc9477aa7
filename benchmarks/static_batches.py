"""The baseline that engines are measured against: batches through `generate`, until the last text of each ends."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from recap.engines import Request


def random_llama(config: LlamaConfig, device: str, dtype: torch.dtype) -> LlamaForCausalLM:
    """Random weights, made where they stay."""
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(dtype)
    model.to_empty(device=device)
    model.model.rotary_emb = LlamaRotaryEmbedding(config).to(device)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.02) if weight.dim() == 2 else weight.fill_(1)
    return model.eval()


@torch.inference_mode()
def write_together(model: LlamaForCausalLM, requests: Sequence[Request]) -> dict[str, tuple[int, ...]]:
    """Greedy texts of prompts of one length; each is cut where its own limit is."""
    model.set_attn_implementation("sdpa")
    prompts = torch.stack([request.embeddings for request in requests])
    longest = max(request.max_new_tokens for request in requests)
    rows = model.generate(
        inputs_embeds=prompts,
        attention_mask=torch.ones(prompts.shape[:2], dtype=torch.long, device=prompts.device),
        generation_config=GenerationConfig(max_new_tokens=longest, do_sample=False, pad_token_id=0),
    ).tolist()
    return {each.request_id: tuple(row[: each.max_new_tokens]) for each, row in zip(requests, rows, strict=True)}


def write_in_batches(
    model: LlamaForCausalLM, requests: Sequence[Request], batch_size: int
) -> dict[str, tuple[int, ...]]:
    """All of them, those of one length together."""
    done, waiting = {}, list(requests)
    while waiting:
        batch = [request for request in waiting if request.length == waiting[0].length][:batch_size]
        done |= write_together(model, batch)
        waiting = [request for request in waiting if request.request_id not in done]
    return done
