"""CUDA graphs for the pretended cards: what is recorded is not computed, a replay computes it on the same memory.

What a real card cannot record is refused, as far as it is asked for by operations that say so: reading a value, results
whose size is one, masks as indices, and copies between devices. Until it is replayed, what a recorded operation is to
write holds no numbers. Streams, and memory that several graphs share, are not pretended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

UNKNOWN = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class Graph:
    """A recording."""

    recorded = 0  # by all of them
    replayed = 0

    def __init__(self):
        self.operations: list[tuple[Any, tuple, dict, tuple[Tensor, ...]]] = []
        Graph.recorded += 1

    def replay(self) -> None:
        Graph.replayed += 1
        for operation, args, kwargs, results in self.operations:
            for kept, made in zip(results, tensors(operation(*args, **kwargs)), strict=bool(results)):
                kept.copy_(made)


class Recorder(TorchDispatchMode):
    """Records what happens inside."""

    def __init__(self, graph: Graph):
        super().__init__()
        self.graph = graph

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = list(tensors((args, kwargs)))
        _refuse(_waits(operation, given), operation)
        written = [
            each
            for argument, each in zip(operation._schema.arguments, args, strict=False)
            if argument.alias_info and argument.alias_info.is_write
        ]
        if operation._schema.is_mutable:
            assert written, operation
            _refuse(len({each.device for each in given}) > 1, operation)
            self.graph.operations.append((operation, args, kwargs, ()))
            return written[0]
        made = operation(*args, **kwargs)
        results = tuple(tensors(made))
        _refuse(len({each.device for each in [*given, *results]}) > 1, operation)
        memory = {each.untyped_storage().data_ptr() for each in given}
        if all(each.untyped_storage().data_ptr() in memory for each in results):
            return made
        for result in results:
            result.fill_(torch.nan if result.is_floating_point() else 0)
        self.graph.operations.append((operation, args, kwargs, results))
        return made


class Watch(TorchDispatchMode):
    """Refuses what would wait for a real card."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if _waits(operation, list(tensors((args, kwargs or {})))):
            raise RuntimeError(f"called a synchronizing CUDA operation ({operation})")
        return operation(*args, **kwargs or {})


watch: list[Watch] = []


def set_sync_debug_mode(mode: str) -> None:
    if mode == "error":
        watch.append(Watch())
        watch[-1].__enter__()
    elif watch:
        watch.pop().__exit__(None, None, None)


class Stream(nullcontext):
    """Nothing but itself."""


class recording(torch.cuda.graph):
    """`torch.cuda.graph`, whose arguments it takes."""

    default_capture_stream = nullcontext()

    def __enter__(self) -> None:
        assert isinstance(self.capture_stream, Stream), "a stream that others record on, too"
        self.recorder = Recorder(self.cuda_graph)
        self.recorder.__enter__()

    def __exit__(self, *error: object) -> None:
        self.recorder.__exit__(*error)


def tensors(values: Any) -> Iterator[Tensor]:
    return (each for each in tree_leaves(values) if isinstance(each, Tensor))


def _waits(operation: Any, given: list[Tensor]) -> bool:
    masked = "index" in operation.name() and any(each.dtype == torch.bool for each in given[1:])
    return masked or bool(UNKNOWN & set(operation.tags))


def _refuse(impossible: bool, operation: Any) -> None:
    if impossible:
        raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing ({operation})")


def answers() -> dict[str, Any]:
    """What `torch.cuda` says of graphs and streams."""
    return {
        "CUDAGraph": Graph,
        "graph": recording,
        "graph_pool_handle": lambda: (0, 1),
        "set_sync_debug_mode": set_sync_debug_mode,
        "Stream": Stream,
        "stream": nullcontext,
        "current_stream": lambda device=None: None,
    }
