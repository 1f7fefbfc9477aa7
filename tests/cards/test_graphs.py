"""Which steps become graphs."""

from __future__ import annotations

import time

import pytest
import torch

from recap.engines import cuda_graphs
from recap.engines.cuda_graphs import CudaGraphs

PLACES = 4


@pytest.fixture(autouse=True)
def recording(monkeypatch):
    """As in a process in which nothing has failed yet."""
    monkeypatch.setattr(CudaGraphs, "_recording", True)


class Steps:
    """Steps over one piece of memory, of which some launch for longer than they compute."""

    def __init__(self, monkeypatch, computing_s: float = 0.0):
        self.given = torch.zeros(PLACES, device="cuda")
        self.launched = 0
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: time.sleep(computing_s))

    def step(self) -> torch.Tensor:
        self.launched += 1
        time.sleep(0.01)
        return self.given * 2 + 1

    def run(self, graphs: CudaGraphs, shape="shape", times=6):
        for number in range(times):
            self.given.fill_(number)
            assert graphs.run(shape, self.step).tolist() == [2.0 * number + 1] * PLACES


def test_a_step_that_is_mostly_launching_is_recorded_at_its_second_time(monkeypatch):
    steps, graphs = Steps(monkeypatch), CudaGraphs()
    steps.run(graphs)
    assert len(graphs) == 1 and steps.launched == 3  # to warm up, to be timed, and to be recorded
    steps.run(graphs, "another shape")
    assert len(graphs) == 2 and steps.launched == 6


def test_a_step_that_the_card_takes_longer_for_is_left_alone(monkeypatch):
    steps, graphs = Steps(monkeypatch, computing_s=0.05), CudaGraphs()
    steps.run(graphs)
    assert len(graphs) == 0 and steps.launched == 7


def test_a_step_that_waits_for_the_card_is_never_recorded(monkeypatch, caplog):
    steps, recorded = Steps(monkeypatch), []
    step = steps.step

    def reading() -> torch.Tensor:
        return step() + steps.given.max().item() * 0

    steps.step = reading
    monkeypatch.setattr(torch.cuda, "graph", lambda *_, **__: recorded.append(1))
    for shape in ("one", "two"):
        steps.run(CudaGraphs(), shape)  # with slots of its own each
    assert not recorded and steps.launched == 13
    assert caplog.text.count("not as CUDA graphs") == 1 and "synchronizing" in caplog.text
    assert steps.given.max().item() == 5  # which is allowed again


def test_a_replay_that_gives_something_else_is_not_believed(monkeypatch, caplog):
    steps, graphs = Steps(monkeypatch), CudaGraphs()
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda self: None)
    steps.run(graphs)
    assert len(graphs) == 0 and "a replay gave something else" in caplog.text


def test_a_text_of_no_numbers_is_no_fault_of_a_replay(monkeypatch):
    steps, graphs = Steps(monkeypatch), CudaGraphs()
    steps.given[1] = torch.nan
    for _ in range(3):
        graphs.run("shape", steps.step)
    assert len(graphs) == 1


def test_a_replay_that_does_nothing_to_no_numbers_is_not_believed_either(monkeypatch, caplog):
    steps, graphs = Steps(monkeypatch), CudaGraphs()
    steps.given.fill_(torch.nan)
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda self: None)
    for _ in range(3):
        graphs.run("shape", steps.step)
    assert len(graphs) == 0 and "a replay gave something else" in caplog.text


def test_a_card_without_room_for_a_graph_goes_on_without(monkeypatch, caplog):
    steps, graphs = Steps(monkeypatch), CudaGraphs()

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "graph", full)
    steps.run(graphs)
    assert len(graphs) == 0 and "out of memory" in caplog.text
    steps.run(graphs, "another shape")
    assert caplog.text.count("not as CUDA graphs") == 1
    monkeypatch.undo()
    steps.run(graphs := CudaGraphs())
    assert len(graphs) == 1


def test_graphs_are_only_so_many(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "MOST_GRAPHS", 2)
    steps, graphs = Steps(monkeypatch), CudaGraphs()
    for shape in range(4):
        steps.run(graphs, shape)
    assert len(graphs) == 2
