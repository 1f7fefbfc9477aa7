"""How fast a decoder could caption at best on a machine of known ceilings: arithmetic only.

A prefill is bound by the machine's matrix products (FLOP/s), a decode step by what it reads (bytes/s): all weights
once, and the keys and values of every text that it writes a token of.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A decoder of the Llama family; `value_bytes` is what one weight, key or value takes."""

    blocks: int
    hidden: int
    heads: int
    kv_heads: int
    head_width: int
    intermediate: int
    vocabulary: int
    value_bytes: int = 2

    @property
    def block_weights(self) -> int:
        """Weights of all blocks that every token is multiplied with."""
        attention = 2 * self.hidden * (self.heads + self.kv_heads) * self.head_width
        return self.blocks * (attention + 3 * self.hidden * self.intermediate)

    @property
    def head_weights(self) -> int:
        """Weights that turn a position into scores of the next token."""
        return self.hidden * self.vocabulary

    @property
    def position_bytes(self) -> int:
        """Keys and values of one position."""
        return 2 * self.blocks * self.kv_heads * self.head_width * self.value_bytes


@dataclass(frozen=True)
class Ceilings:
    """What a machine was measured to do: `flops_per_s` in large matrix products, `bytes_per_s` read and written."""

    flops_per_s: float
    bytes_per_s: float


def prefill_flops(shape: Shape, positions: int) -> int:
    """Multiplications and additions for one prompt; a position attends to those before it and to itself."""
    pairs = positions * (positions + 1) // 2
    attention = 4 * shape.blocks * shape.heads * shape.head_width * pairs
    return 2 * shape.block_weights * positions + attention


def decode_flops(shape: Shape, texts: int, positions: int) -> int:
    """For one token of each of `texts` texts with `positions` positions."""
    attention = 4 * shape.blocks * shape.heads * shape.head_width * positions
    return texts * (2 * (shape.block_weights + shape.head_weights) + attention)


def decode_bytes(shape: Shape, texts: int, positions: int) -> int:
    """Read in one step over `texts` texts with `positions` positions each."""
    weights = (shape.block_weights + shape.head_weights) * shape.value_bytes
    return weights + texts * positions * shape.position_bytes


def clip_seconds(shape: Shape, machine: Ceilings, *, prompt: int, new_tokens: int, texts: int) -> tuple[float, float]:
    """Least seconds a clip for its prefill, and for its share of the decode steps with `texts` texts in each.

    A step takes the longer of reading and computing; texts are spread evenly over their lengths, as they
    are where a finished one makes way for the next.
    """
    mean = prompt + (new_tokens + 1) // 2
    reading = decode_bytes(shape, texts, mean) / machine.bytes_per_s
    computing = decode_flops(shape, texts, mean) / machine.flops_per_s
    return prefill_flops(shape, prompt) / machine.flops_per_s, new_tokens * max(reading, computing) / texts


def clips_per_s(shape: Shape, machine: Ceilings, *, prompt: int, new_tokens: int, texts: int) -> float:
    """No engine that prefills and decodes one after the other is faster than this."""
    return 1 / sum(clip_seconds(shape, machine, prompt=prompt, new_tokens=new_tokens, texts=texts))
