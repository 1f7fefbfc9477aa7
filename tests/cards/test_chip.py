"""What the pretended cards must refuse, or nothing here would prove anything."""

from __future__ import annotations

import pytest
import torch
from torch import nn

CARDS = ("cuda:0", "cuda:1")


@pytest.mark.parametrize("other", ("cpu", "cuda:1"))
def test_tensors_of_two_devices_do_not_meet(other):
    left, right = torch.ones(3, 3, device="cuda"), torch.ones(3, 3, device=other)
    for meet in (torch.add, torch.matmul, lambda *both: torch.cat(both), lambda *both: torch.where(*both, 0)):
        with pytest.raises(RuntimeError, match="same device"):
            meet(left, right)
    with pytest.raises(RuntimeError, match="same device"):
        nn.functional.scaled_dot_product_attention(left[None], right[None], right[None])
    assert torch.equal((left + right.to("cuda")).cpu(), 2 * torch.ones(3, 3))


@pytest.mark.parametrize("home", CARDS)
def test_results_are_the_cpus_and_stay_where_they_are_made(home):
    torch.manual_seed(0)
    layer, given = nn.Linear(8, 4), torch.randn(5, 8)
    with torch.inference_mode():
        expected = layer(given)
        found = layer.to(home)(given.to(home))
    assert str(found.device) == home and torch.equal(found.cpu(), expected)
    assert str(found.argmax(-1).device) == str(found[found > 0].device) == home


def test_memory_is_counted_and_given_back(chip):
    chip.resize(0, 10_000)
    before = torch.cuda.memory_allocated(0)
    kept = torch.empty(1000, device="cuda")
    assert torch.cuda.mem_get_info(0) == (10_000 - before - 4096, 10_000) and torch.cuda.memory_allocated(1) == 0
    with pytest.raises(torch.OutOfMemoryError, match="GPU 0 has 10000 bytes"):
        torch.empty(1500, device="cuda")
    torch.empty(1500, device="cuda:1")
    del kept
    torch.empty(1500, device="cuda")
    torch.cuda.set_per_process_memory_fraction(0.5)
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(1500, device="cuda")


def test_a_walk_through_has_the_shapes_and_the_memory_of_the_real_thing(chip):
    chip.set_dry(True)
    there = torch.cuda.memory_allocated(0)
    weights = torch.empty(20480, 7168, dtype=torch.bfloat16, device="cuda")
    given = torch.empty(100_000, 7168, dtype=torch.bfloat16, device="cuda")
    before = torch.cuda.memory_allocated(0)
    result = given @ weights.T
    assert before - there == weights.nbytes + given.nbytes
    assert torch.cuda.memory_allocated(0) - before == result.nbytes == 2 * 100_000 * 20480
    assert result.argmax(-1).tolist()[:3] == [0, 0, 0]


def recorded(work) -> tuple[torch.Tensor, torch.cuda.CUDAGraph]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(
        graph, pool=torch.cuda.graph_pool_handle(), stream=torch.cuda.Stream(), capture_error_mode="thread_local"
    ):
        result = work()
    return result, graph


def test_a_recording_computes_nothing_and_a_replay_does_on_the_same_memory():
    place, given, kept = 1, torch.arange(6.0, device="cuda").view(2, 3), torch.zeros(2, 3, device="cuda")

    def work():
        kept[place].add_(given.T.reshape(3, 2)[:, 0])
        return kept.sum(-1) + given[:, 0]

    result, graph = recorded(work)
    assert result.isnan().all() and not kept.any()
    place = 0  # a graph knows what it was at the time
    given += 1
    for times in (1, 2):
        graph.replay()
        expected = torch.zeros(2, 3)
        expected[1] = times * given.cpu().T.reshape(3, 2)[:, 0]
        assert torch.equal(kept.cpu(), expected) and torch.equal(result.cpu(), expected.sum(-1) + given.cpu()[:, 0])


@pytest.mark.parametrize(
    "work",
    (
        lambda tensor: tensor.max().item(),
        lambda tensor: tensor[tensor > 0],
        lambda tensor: tensor.index_put_((tensor > 0,), tensor.max()),
        lambda tensor: tensor.cpu(),
        lambda tensor: tensor + torch.ones(3).to("cuda"),
        lambda tensor: tensor.to("cuda:1"),
    ),
)
def test_what_cannot_be_recorded_is_refused(work):
    tensor = torch.ones(3, device="cuda")
    work(tensor)
    with pytest.raises(RuntimeError, match="capturing"):
        recorded(lambda: work(tensor))
