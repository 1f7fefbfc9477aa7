"""Packed linear layers compute what torch's do, row by row, and stand only where they may."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from recap.engines import packing
from recap.engines.packing import PackedLinear, packed

pytestmark = pytest.mark.skipif(not packing.pays(), reason="nothing is packed on this processor")


def layers(*, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(96, 331), nn.GELU(), nn.ModuleList([nn.Linear(331, 40, bias=False)])[0]).to(dtype)


@pytest.mark.parametrize("threads", (1, 2))
@torch.inference_mode()
def test_numbers_are_those_of_torch_and_no_row_depends_on_the_others(threads, compute_with):
    compute_with(threads)
    plain = layers()
    model = packed(copy.deepcopy(plain))
    assert [type(layer) for layer in model] == [PackedLinear, nn.GELU, PackedLinear]
    rows = torch.randn(300, 96)
    together = model(rows)
    torch.testing.assert_close(together, plain(rows), atol=1e-5, rtol=1e-5)
    for count in (1, 2, 3, 5, 16, 17, 64, 255):
        assert torch.equal(model(rows[:count]), together[:count])
    wide = packed(nn.Sequential(nn.Linear(4096, 64)))
    rows = torch.randn(300, 4096)
    for count in (4, 5, 16, 255):
        assert torch.equal(wide(rows[:count]), wide(rows)[:count])


@torch.inference_mode()
def test_rows_may_lie_apart():
    plain = layers()
    model, rows = packed(copy.deepcopy(plain)), torch.randn(300, 96)
    strided = rows.view(3, 100, 96).transpose(0, 1)[::2]
    torch.testing.assert_close(model(strided), plain(strided), atol=1e-5, rtol=1e-5)


def test_what_computes_in_another_type_or_is_brought_from_elsewhere_stays():
    assert packed(layers(dtype=torch.bfloat16))[0].weight.dtype == torch.bfloat16
    model = layers()
    model[0]._hf_hook = object()
    assert [type(layer) for layer in packed(model)] == [nn.Linear, nn.GELU, PackedLinear]


def test_nothing_is_packed_where_it_does_not_pay(monkeypatch):
    monkeypatch.setattr(packing, "pays", lambda: False)
    assert type(packed(layers())[0]) is nn.Linear
