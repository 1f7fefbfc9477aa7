"""How the clips of a graph are dealt out: a block to a decode worker, and of that a bundle at a time to an engine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeVar

from recap.records import Clip

Item = TypeVar("Item")
# Each bundle makes work for Ray's processes, the driver above all; but it goes on with its slowest clip, and what it
# holds back is lost to an idle engine. So a worker, and a copy of the model, has several at least.
MAX_BUNDLE_CLIPS, BUNDLES_A_WORKER, BUNDLES_IN_FLIGHT = 8, 8, 6
MAX_BLOCK_BUNDLES = 16  # the driver keeps 4 KB about each block, and what a dead worker had of one is decoded again
QUEUED_BLOCKS = 6  # with 2, a decoder of small clips waits for Ray's scheduler a third of its time
_TURNS = 2 * (QUEUED_BLOCKS + 1)


class GraphClips(Protocol):
    """Those of a graph, a list, or read one after the other as they are asked for."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Clip]: ...


def bundle_clips(clips: int, decode_workers: int, in_flight: int) -> int:
    """How many of a graph's clips go through it together."""
    return max(1, min(MAX_BUNDLE_CLIPS, clips // (BUNDLES_A_WORKER * decode_workers), in_flight // BUNDLES_IN_FLIGHT))


def calls(clips: int, bundle: int, in_flight: int, actors: int) -> tuple[int, int]:
    """How many bundles an engine is asked about at once, and how many it has with those that wait for it.

    No more than its share of all, or the copy that is ready first would take what is for others; but two, as one may
    only be waiting for a commit.
    """
    at_once, share = math.ceil(in_flight / bundle) + 1, max(2, math.ceil(clips / (bundle * actors)))
    return min(at_once, share), min(at_once + 1, share)


def blocks(clips: GraphClips, bundle: int, workers: int) -> Iterator[list[Clip]]:
    """All clips, some whole bundles at a time; fewer towards the end, when no worker may have a long queue
    that others could help with."""
    rest, left = iter(clips), -(-len(clips) // bundle)
    while block := list(islice(rest, bundle * max(1, min(MAX_BLOCK_BUNDLES, left // (_TURNS * workers))))):
        left -= -(-len(block) // bundle)
        yield block


def bundles(clips: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """All clips, `size` at a time."""
    rest = iter(clips)
    while bundle := list(islice(rest, size)):
        yield bundle
