"""Steps recorded as CUDA graphs, for cards that are faster than the processor that launches their work.

A step launches a thousand small operations and more. Where that takes longer than computing them, the card waits;
a graph is launched as one.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

MOST_GRAPHS = 32  # each keeps its result, and some megabytes of the driver's
WAITING = 0.5  # of a step's time spent on launching it, above which the card is taken to wait

log = logging.getLogger(__name__)


class CudaGraphs:
    """Runs steps, and replays those that are worth it; for work on one card, from one thread.

    The first step of a shape warms up, the second is timed. If most of it was launching, it is recorded, and replayed
    from then on, provided that a first replay gives the same bits. What cannot be recorded is launched as before.
    """

    _recording = True  # of the class: off for good where torch might not get over a failed recording

    def __init__(self):
        self._steps: Counter[Hashable] = Counter()
        self._graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._pool = torch.cuda.graph_pool_handle()
        # Of torch's own, which all share, a graph that goes would take the workspaces along (pytorch#193402).
        self._stream = torch.cuda.Stream()

    def __len__(self) -> int:
        return len(self._graphs)

    def run(self, shape: Hashable, step: Callable[[], Tensor]) -> Tensor:
        """What `step` returns, until the next run.

        Steps of one shape must read and write the same memory, and be the same done twice.
        """
        self._steps[shape] += 1
        if self._steps[shape] == 2 and self._recording and len(self) < MOST_GRAPHS:
            self._consider(shape, step)
        if shape not in self._graphs:
            return step()
        graph, result = self._graphs[shape]
        graph.replay()
        return result

    def _consider(self, shape: Hashable, step: Callable[[], Tensor]) -> None:
        try:
            expected, waited = _timed(step)
            if waited > WAITING:
                self._graphs[shape] = _proven(*self._recorded(step), expected)
        except torch.OutOfMemoryError as error:
            self._recording = False
            _explain(error)
        except RuntimeError as error:
            type(self)._recording = False
            _explain(error)

    def _recorded(self, step: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        graph = torch.cuda.CUDAGraph()
        how = {"pool": self._pool, "stream": self._stream, "capture_error_mode": "thread_local"}
        # A recording that fails would leave its stream behind as the current one: the outer `with` brings that back.
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph, **how):
            result = step()
        return graph, result


def _explain(error: RuntimeError) -> None:
    log.warning("steps are launched piece by piece, not as CUDA graphs: %s", error)


def _timed(step: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """The step's result, and which part of its time had passed when all was launched.

    RuntimeError where it waits for the card in between, for that cannot be recorded.
    """
    torch.cuda.set_sync_debug_mode("error")
    start = time.perf_counter()
    try:
        result = step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    launched = time.perf_counter()
    torch.cuda.synchronize()
    return result, (launched - start) / (time.perf_counter() - start)


def _proven(graph: torch.cuda.CUDAGraph, result: Tensor, expected: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """Starts from a result that is wrong everywhere. A text of no numbers is no fault of the graph."""
    result.copy_(torch.where(expected.isnan(), 0, torch.nan))
    graph.replay()
    if not torch.allclose(result, expected, rtol=0, atol=0, equal_nan=True):
        raise RuntimeError("a replay gave something else")
    return graph, result
