"""Real clips with something broken in them, the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HEADER_BYTES = 4096


@dataclass(frozen=True)
class Mutant:
    """`data` is what became of the clip `parent`; `name` says how, and keeps the clip's extension."""

    name: str
    parent: str
    data: bytes


def mutants(clips: Sequence[Path], count: int, seed: int = 0) -> Iterator[Mutant]:
    """`count` mutants of `clips`, each kind of damage and each clip in turn."""
    wild, parents = random.Random(seed), [(clip, clip.read_bytes()) for clip in clips]
    for number in range(count):
        damage = DAMAGES[number % len(DAMAGES)]
        clip, data = parents[number // len(DAMAGES) % len(parents)]
        donor = wild.choice(parents)[1]
        name = f"{number:04d}-{damage.__name__.strip('_')}-{clip.stem}{clip.suffix}"
        yield Mutant(name, clip.name, damage(data, donor, wild))


def _few_bits(data: bytes, donor: bytes, wild: random.Random) -> bytes:
    return _flipped(data, wild, wild.randint(1, 8), len(data))


def _many_bits(data: bytes, donor: bytes, wild: random.Random) -> bytes:
    return _flipped(data, wild, len(data) // 500, len(data))


def _header_bits(data: bytes, donor: bytes, wild: random.Random) -> bytes:
    return _flipped(data, wild, wild.randint(1, 8), HEADER_BYTES)


def _index_bits(data: bytes, donor: bytes, wild: random.Random) -> bytes:
    """In MP4 the index may stand at the end."""
    end = data[-HEADER_BYTES:]
    return data[:-HEADER_BYTES] + _flipped(end, wild, wild.randint(1, 8), len(end))


def _truncated(data: bytes, donor: bytes, wild: random.Random) -> bytes:
    return data[: wild.randrange(len(data))]


def _spliced_header(data: bytes, donor: bytes, wild: random.Random) -> bytes:
    cut = wild.randrange(8, HEADER_BYTES)
    return donor[:cut] + data[cut:]


def _foreign_middle(data: bytes, donor: bytes, wild: random.Random) -> bytes:
    start, length = wild.randrange(len(data)), wild.randrange(1, HEADER_BYTES)
    return data[:start] + donor[:length] + data[start + length :]


def _hole(data: bytes, donor: bytes, wild: random.Random) -> bytes:
    start, length = wild.randrange(len(data)), wild.randrange(1, HEADER_BYTES)
    return data[:start] + bytes(length) + data[start + length :]


def _lost_piece(data: bytes, donor: bytes, wild: random.Random) -> bytes:
    start = wild.randrange(len(data))
    return data[:start] + data[start + wild.randrange(1, HEADER_BYTES) :]


def _huge_numbers(data: bytes, donor: bytes, wild: random.Random) -> bytes:
    """Sizes and counts in headers become the largest that fit."""
    damaged, ends = bytearray(data), (range(0, HEADER_BYTES), range(len(data) - HEADER_BYTES, len(data) - 4))
    for _ in range(wild.randint(1, 6)):
        at = wild.choice(wild.choice(ends))
        damaged[at : at + 4] = wild.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"))
    return bytes(damaged)


DAMAGES = (
    _few_bits,
    _many_bits,
    _header_bits,
    _index_bits,
    _truncated,
    _spliced_header,
    _foreign_middle,
    _hole,
    _lost_piece,
    _huge_numbers,
)


def _flipped(data: bytes, wild: random.Random, bits: int, end: int) -> bytes:
    damaged = bytearray(data)
    for _ in range(max(1, bits)):
        damaged[wild.randrange(min(end, len(data)))] ^= 1 << wild.randrange(8)
    return bytes(damaged)
