from __future__ import annotations

import copy

import pytest
import torch

from recap.engines.attention import NAME, use_grouped_attention


@pytest.fixture
def grouped(language_model):
    model = copy.deepcopy(language_model)
    use_grouped_attention(model)
    assert model.config._attn_implementation == NAME != language_model.config._attn_implementation
    return model


def prompts(count: int = 3, length: int = 9) -> torch.Tensor:
    return torch.randint(10, 61, (count, length), generator=torch.Generator().manual_seed(1))


def test_logits_are_those_of_sdpa(language_model, grouped):
    ids = prompts()
    torch.testing.assert_close(grouped(ids).logits, language_model(ids).logits, rtol=0, atol=0)


def test_generation_with_padding_is_that_of_sdpa(language_model, grouped):
    ids = prompts()
    mask = torch.ones_like(ids)
    mask[0, :4] = mask[2, :1] = 0
    options = {"attention_mask": mask, "max_new_tokens": 20, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(grouped.generate(ids, **options), language_model.generate(ids, **options))


def test_keys_are_read_where_they_lie(grouped, monkeypatch):
    seen = []

    def attention(query, key, value, attn_mask=None, scale=None):
        seen.append((tuple(query.shape), key.data_ptr(), key.stride()))
        return query

    monkeypatch.setattr("recap.engines.attention.scaled_dot_product_attention", attention)
    block = grouped.model.layers[0].self_attn
    kept = torch.zeros(5, 2, 64, 8)
    from recap.engines.attention import grouped_attention

    out, _ = grouped_attention(block, torch.ones(3, 4, 1, 8), kept[:3, :, :20], kept[:3, :, :20], None, scaling=1.0)
    assert seen == [((3, 2, 2, 8), kept.data_ptr(), kept.stride())] and out.shape == (3, 1, 4, 8)
