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

    def __init__(self):
        self._steps: Counter[Hashable] = Counter()
        self._graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._pool = torch.cuda.graph_pool_handle()
        self._recording = True

    def __len__(self) -> int:
        return len(self._graphs)

    def run(self, shape: Hashable, step: Callable[[], Tensor]) -> Tensor:
        """What `step` returns, until the next run.

        Steps of one shape must read and write the same memory, and be the same done twice.
        """
        if shape in self._graphs:
            graph, result = self._graphs[shape]
            graph.replay()
            return result
        self._steps[shape] += 1
        if self._steps[shape] != 2 or not self._recording:
            return step()
        result, waited = _timed(step)
        if waited > WAITING:
            self._record(shape, step, result)
        return result

    def _record(self, shape: Hashable, step: Callable[[], Tensor], expected: Tensor) -> None:
        try:
            graph, result = _recorded(step, self._pool)
            result.fill_(torch.nan)
            graph.replay()
            problem = None if torch.equal(result, expected) else "a replay gave something else"
        except RuntimeError as error:  # out of memory is one too
            problem = str(error)
        if problem:
            log.warning("steps are launched piece by piece, not as CUDA graphs: %s", problem)
        else:
            self._graphs[shape] = graph, result
        self._recording = not problem and len(self) < MOST_GRAPHS


def _timed(step: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """The step's result, and which part of its time had passed when all was launched."""
    start = time.perf_counter()
    result = step()
    launched = time.perf_counter()
    torch.cuda.synchronize()
    return result, (launched - start) / (time.perf_counter() - start)


def _recorded(step: Callable[[], Tensor], pool: tuple[int, int]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    graph = torch.cuda.CUDAGraph()
    recording = torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local")
    # A recording that fails would leave its own stream behind as the current one: the outer `with` brings it back.
    with torch.cuda.stream(torch.cuda.current_stream()), recording:
        result = step()
    return graph, result
