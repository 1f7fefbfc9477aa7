"""The decode step gives what transformers' own forward gives, and reads the cache where it lies."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from recap.engines import Request
from recap.engines import decode_step as module
from recap.engines.slots import Slots

NEVER = frozenset({-1})
STRETCHED = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
VARIANTS = {
    "grouped": {},
    "a key for each head": {"num_key_value_heads": 4},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "wide heads": {"head_dim": 24},
    "stretched positions": {"rope_parameters": STRETCHED},
    "another activation": {"hidden_act": "gelu"},
}


def llama(**other) -> LlamaForCausalLM:
    torch.manual_seed(2)
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 61,
    }
    config = LlamaConfig(intermediate_size=48, initializer_range=0.3, **sizes | other)
    model = LlamaForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name or "bias" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model


@torch.inference_mode()
def scores_of_a_step(model, lengths, capacity=128) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Scores from the step, and what the model itself says of each prompt alone."""
    prompts = [torch.randint(10, 61, (length,), generator=torch.Generator().manual_seed(length)) for length in lengths]
    slots, seen = Slots(model, NEVER, len(prompts), 24, capacity), []
    for place, prompt in enumerate(prompts):
        slots.prefill([Request(str(place), 4, token_ids=tuple(prompt.tolist()))])
    hook = model.lm_head.register_forward_hook(lambda _, __, out: seen.append(out))
    slots.decode()
    hook.remove()
    return seen[0][: len(prompts)], [model(prompt[None]).logits[0, -1] for prompt in prompts]


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_scores_are_those_of_the_models_forward(variant):
    found, expected = scores_of_a_step(llama(**variant), (1, 2, 9, 70, 33))
    torch.testing.assert_close(found, torch.stack(expected), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("threads", (1, 2))
@pytest.mark.parametrize("group", (1, 2, 3, 4, 7))
def test_on_a_cpu_not_even_the_last_bit_depends_on_the_neighbours(threads, group, compute_with):
    model = llama(num_hidden_layers=1, num_attention_heads=2 * group, hidden_size=16 * group, head_dim=32)
    lengths = (*range(500, 516), 190, 40, 169, 250)  # the last stand with another thread than the first
    compute_with(threads)
    crowd, _ = scores_of_a_step(model, lengths, 1024)
    for scores, length in zip(crowd[-4:], lengths[-4:], strict=True):
        assert torch.equal(scores, scores_of_a_step(model, (length,), 1024)[0][0])


def test_in_half_precision_they_are_as_near_as_it_is():
    found, expected = scores_of_a_step(llama().to(torch.bfloat16), (9, 40))
    exact, _ = scores_of_a_step(llama().to(torch.bfloat16).float(), (9, 40))
    ours, theirs = ((each.float() - exact).abs().mean() for each in (found, torch.stack(expected)))
    assert ours < 1.5 * theirs


def test_keys_are_read_where_they_lie(monkeypatch):
    model, seen = llama(), []
    attend = module.scaled_dot_product_attention

    def attention(query, key, value, **how):
        seen.append((tuple(query.shape), key.data_ptr(), value.data_ptr(), key.stride()))
        return attend(query, key, value, **how)

    monkeypatch.setattr(module, "scaled_dot_product_attention", attention)
    slots = Slots(model, NEVER, 4, 4, 128)
    slots.prefill([Request("a", 4, token_ids=(11, 12, 13))])
    with torch.inference_mode():
        slots.decode()
    layers = slots._cache.layers
    rows, heads = len(slots._inputs), 2
    assert seen == [
        ((rows, heads, 2, 8), layer.keys.data_ptr(), layer.values.data_ptr(), layer.keys.stride()) for layer in layers
    ]
