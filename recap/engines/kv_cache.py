"""Keys and values of the texts being written: one row of a preallocated cache for each.

transformers hands a cache nothing but fresh keys and values, so where they go is said before each forward.
Shapes use: rows, heads (of keys and values), capacity (positions), width (of a head).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class Step(Protocol):
    """Where one forward's keys or values go."""

    def store(self, kept: Tensor, fresh: Tensor) -> Tensor:
        """Put `fresh` into `kept` (rows, heads, capacity, width); return what is attended to."""


@dataclass(frozen=True)
class Prefill:
    """Whole prompts of one length into the rows from `first` on; a prompt looks at nothing but itself.

    What stood behind them is wiped: a masked position takes part as 0 · value, which must not be NaN.
    """

    first: int

    def store(self, kept: Tensor, fresh: Tensor) -> Tensor:
        rows, _, length, _ = fresh.shape
        _put(kept[self.first : self.first + rows], fresh, length)
        return fresh


@dataclass(frozen=True)
class Decode:
    """One position into each of the first `rows` rows, which look at their first `bound` positions.

    `places` is (rows·heads,): where in the flattened (rows·heads·capacity) each new entry goes.
    """

    places: Tensor
    rows: int
    bound: int

    def store(self, kept: Tensor, fresh: Tensor) -> Tensor:
        width = fresh.shape[-1]
        kept.view(-1, width).index_copy_(0, self.places.to(kept.device), fresh.reshape(-1, width))
        return kept[: self.rows, :, : self.bound]


class SlotCache(Cache):
    """A `SlotLayer` for each block, allocated when the block first computes, on its device."""

    def __init__(self, blocks: int, rows: int, capacity: int):
        super().__init__(layers=[SlotLayer(rows, capacity) for _ in range(blocks)])

    def begin(self, step: Step) -> None:
        """What the forwards from here on do."""
        for layer in self.layers:
            layer.step = step

    def wipe(self, first: int, count: int) -> None:
        """Leave nothing in `count` rows from `first` on, as a prefill does behind its prompts."""
        for layer in self.layers:
            if layer.is_initialized:
                layer.keys[first : first + count] = layer.values[first : first + count] = 0

    def move(self, source: int, target: int) -> None:
        """Let row `target` hold what row `source` holds, by one launch for all blocks: a card would wait for many."""
        kept = [rows for layer in self.layers for rows in (layer.keys, layer.values)]
        torch._foreach_copy_([rows[target] for rows in kept], [rows[source] for rows in kept])


class SlotLayer(CacheLayerMixin):
    """One block's keys and values, (rows, heads, capacity, width) each.

    It knows nothing of its cache: a circle would keep both, and a card's memory, until Python looks for such.
    """

    is_sliding = False

    def __init__(self, rows: int, capacity: int):
        super().__init__()
        self._rows, self._capacity = rows, capacity
        self.step: Step | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate, with zeros, for the same reason."""
        _, heads, _, width = key_states.shape
        self.keys = key_states.new_zeros(self._rows, heads, self._capacity, width)
        self.values = value_states.new_zeros(self._rows, heads, self._capacity, width)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Store what the block computed, as its step says; return what it attends to."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        return self.step.store(self.keys, key_states), self.step.store(self.values, value_states)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Keys that a prefill sees, and the first one's position; the decode step does not ask."""
        return query_length, 0

    def get_seq_length(self) -> int:
        """0: rows have lengths of their own, and callers pass `position_ids`."""
        return 0

    def get_max_length(self) -> int:
        """Positions that a row holds."""
        return self._capacity


def _put(kept: Tensor, fresh: Tensor, length: int) -> None:
    """`fresh` into the first `length` positions of `kept` (…, heads, capacity, width), zeros behind it."""
    kept[..., :length, :] = fresh
    kept[..., length:, :] = 0
