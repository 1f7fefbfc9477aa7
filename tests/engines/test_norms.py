from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from recap.engines.norms import fuse_norms


@pytest.fixture
def fused(language_model):
    model = deepcopy(language_model)
    for norm in norms(model, LlamaRMSNorm):
        nn.init.uniform_(norm.weight, 0.5, 2)
    before = deepcopy(model)
    fuse_norms(model)
    return before, model


def norms(model: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [module for module in model.modules() if type(module) is kind]


def test_every_norm_is_torchs_own_with_the_same_weight(fused):
    before, model = fused
    assert len(norms(model, nn.RMSNorm)) == len(norms(before, LlamaRMSNorm)) > 2 and not norms(model, LlamaRMSNorm)
    assert before.state_dict().keys() == model.state_dict().keys()
    for old, new in zip(norms(before, LlamaRMSNorm), norms(model, nn.RMSNorm), strict=True):
        assert torch.equal(old.weight, new.weight) and old.variance_epsilon == new.eps


@torch.inference_mode()
@pytest.mark.parametrize(("dtype", "off_by"), [(torch.float32, 0), (torch.bfloat16, 2**-7)])
def test_numbers_are_those_of_transformers_but_for_one_rounding(fused, dtype, off_by):
    old, new = (norms(model.to(dtype), kind)[0] for model, kind in zip(fused, (LlamaRMSNorm, nn.RMSNorm), strict=True))
    rows = torch.randn(3, 50, len(old.weight)).to(dtype)
    torch.testing.assert_close(new(rows), old(rows), atol=0, rtol=off_by)


def test_a_norm_whose_weight_is_brought_from_elsewhere_stays(language_model):
    model = deepcopy(language_model)
    model.model.norm._hf_hook = object()
    fuse_norms(model)
    assert norms(model, LlamaRMSNorm) == [model.model.norm]
