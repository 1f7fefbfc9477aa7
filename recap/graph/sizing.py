"""How the pools share a machine, worked out before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HEADROOM_CPUS = 0.5  # Ray Data's own tasks need room: with less a graph can stand still without a word
CAPTION_CPUS = 0.5
DECODE_CPUS = 1.0


@dataclass(frozen=True)
class Pools:
    """Sizes of the two pools and what each actor reserves."""

    decode_workers: int
    decode_cpus: float
    caption_actors: int
    caption_cpus: float
    gpus_per_actor: float


def size_pools(
    cpus: float,
    gpus: float,
    *,
    decode_workers: int | Literal["auto"],
    caption_actors: int,
    gpus_per_actor: float,
) -> Pools:
    """Fit the pools into `cpus` and `gpus`; ValueError with the sums when they cannot run."""
    if caption_actors * gpus_per_actor > gpus:
        raise ValueError(
            f"engine.actors {caption_actors} × engine.gpus_per_actor {gpus_per_actor:g} need "
            f"{caption_actors * gpus_per_actor:g} GPUs, the cluster has {gpus:g}; lower one of them or add GPUs"
        )
    room = cpus - HEADROOM_CPUS - caption_actors * CAPTION_CPUS
    workers = max(1, int(room / DECODE_CPUS)) if decode_workers == "auto" else decode_workers
    decode_cpus = DECODE_CPUS if decode_workers != "auto" else min(DECODE_CPUS, room / workers)
    if workers * decode_cpus > room + 1e-9 or decode_cpus < 0.1:
        raise ValueError(
            f"decode.workers {workers} × {DECODE_CPUS:g} CPU and engine.actors {caption_actors} × {CAPTION_CPUS:g} "
            f"CPU leave less than {HEADROOM_CPUS:g} of {cpus:g} CPUs free, and the graph could stand still; "
            f"lower decode.workers to {max(0, int(room / DECODE_CPUS))} or add CPUs"
        )
    return Pools(workers, decode_cpus, caption_actors, CAPTION_CPUS, gpus_per_actor)
