"""How the pools share a machine, worked out before anything starts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from recap.engines import EngineSettings
from recap.limits import cores, memory_bytes
from recap.translation import TranslationSettings

HEADROOM_CPUS = 0.5  # Ray Data's own tasks need room: with less a graph can stand still without a word
CAPTION_CPUS = 0.5  # less on a machine with little
DECODE_CPUS = 1.0
MIN_CPUS = 0.1
WORKERS_A_CPU = 2  # more decoders would only wait for one another
MEMORY_SHARE = 0.5  # of the machine's, for copies of the model
COPY_BYTES = 5e8  # a process with torch, and the clips that it has in hand
BATCHES = 2  # with fewer than these, another copy takes longer to start than it saves


@dataclass(frozen=True)
class Machine:
    """What there is to compute with, on one machine or all of a cluster's together."""

    cpus: float
    gpus: float
    memory_bytes: float = math.inf


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
    shares_cores: bool = False,
) -> Pools:
    """Fit the pools into `cpus` and `gpus`; ValueError with the sums when they cannot run.

    Where engines compute on the very cores that decode (`shares_cores`), `auto` starts a decoder for each core: which
    of the two a clip takes longer in is not known, and whoever is ahead is held back. What they reserve is a share.
    """
    if caption_actors * gpus_per_actor > gpus:
        raise ValueError(
            f"engine.actors {caption_actors} × engine.gpus_per_actor {gpus_per_actor:g} need "
            f"{caption_actors * gpus_per_actor:g} GPUs, and Ray finds {gpus:g}; lower one of them or add GPUs"
        )
    usable = cpus - HEADROOM_CPUS
    caption_cpus = min(CAPTION_CPUS, usable / 2 / caption_actors)
    room = usable - caption_actors * caption_cpus
    fitting = max(1, int(cpus) if shares_cores else int(room / DECODE_CPUS))
    workers = fitting if decode_workers == "auto" else decode_workers
    decode_cpus = min(DECODE_CPUS, room / workers)
    if workers > max(1, WORKERS_A_CPU * cpus) or min(decode_cpus, caption_cpus) < MIN_CPUS:
        raise ValueError(
            f"decode.workers {workers} × {decode_cpus:.2g} CPU and engine.actors {caption_actors} × {caption_cpus:.2g} "
            f"CPU are shares of the {cpus:g} CPUs too small to work with, {HEADROOM_CPUS:g} of them left free so that "
            f"the graph cannot stand still; lower decode.workers (to {fitting}) or engine.actors, or add CPUs"
        )
    return Pools(workers, decode_cpus, caption_actors, caption_cpus, gpus_per_actor)


def translator_cpus(cpus: float, gpus: float, settings: TranslationSettings) -> float:
    """What each translator reserves of `cpus`; ValueError with the sums when they cannot run on them and `gpus`."""
    if settings.actors * settings.gpus_per_actor > gpus:
        raise ValueError(
            f"translation.actors {settings.actors} × translation.gpus_per_actor {settings.gpus_per_actor:g} need "
            f"{settings.actors * settings.gpus_per_actor:g} GPUs, and Ray finds {gpus:g}; lower one of them or add "
            "GPUs"
        )
    share = min(1.0, (cpus - HEADROOM_CPUS) / settings.actors)
    if share < MIN_CPUS:
        raise ValueError(
            f"translation.actors {settings.actors} × {share:.2g} CPU are shares of the {cpus:g} CPUs too small to work "
            "with; lower translation.actors, or add CPUs"
        )
    return share


def caption_actors(engine: EngineSettings, machine: Machine, model_bytes: int, clips: int) -> int:
    """How many copies `engine.actors` means on `machine`, for a model of that size and that many clips to do."""
    if engine.actors != "auto":
        return engine.actors
    if engine.gpus_per_actor:
        most = machine.gpus // engine.gpus_per_actor
    elif engine.kind == "rehearsal":
        most = 1
    else:
        most = min(machine.cpus // engine.threads, MEMORY_SHARE * machine.memory_bytes // (model_bytes + COPY_BYTES))
    return max(1, int(min(most, clips // (BATCHES * engine.batch_size))))


def local_machine(gpus_per_actor: float) -> Machine:
    """What this process may use, of a container its share."""
    return Machine(*local_resources(gpus_per_actor), memory_bytes())


def local_resources(gpus_per_actor: float) -> tuple[int, int]:
    """The CPUs that this process may use and, where the engine wants any, the GPUs that torch sees."""
    if not gpus_per_actor:
        return cores(), 0
    import torch

    return cores(), torch.cuda.device_count()
