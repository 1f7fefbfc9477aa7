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
COPY_BYTES = 5e8  # a process with torch
BATCHES = 2  # with fewer than these, another copy takes longer to start than it saves


class TooSmall(ValueError):
    """A machine, or a cluster, has no room for what is to run on it."""


@dataclass(frozen=True)
class Machine:
    """What there is to compute with, on one machine or in all of a cluster, whose GPUs are counted by node too."""

    cpus: float
    gpus: float
    memory_bytes: float = math.inf
    node_gpus: tuple[float, ...] = ()

    def copies(self, gpus_each: float) -> int:
        """How many copies there is room for that take so many GPUs of one node each, or that part of one GPU."""
        nodes = self.node_gpus or (self.gpus,)
        if gpus_each >= 1:
            return sum(int(gpus // gpus_each) for gpus in nodes)
        return int(self.gpus) * int(1 / gpus_each + 1e-9)

    def check_copies(self, section: str, actors: int, gpus_each: float) -> None:
        """TooSmall where the GPUs have no room for so many `actors`."""
        if gpus_each and actors > self.copies(gpus_each):
            raise TooSmall(
                f"{section}.actors {actors} × {section}.gpus_per_actor {gpus_each:g} need {actors * gpus_each:g} GPUs, "
                f"and Ray finds {self.gpus:g}, with room for {self.copies(gpus_each)} such actors; lower one of them, "
                "or add GPUs"
            )


@dataclass(frozen=True)
class Pools:
    """Sizes of the two pools and what each actor reserves."""

    decode_workers: int
    decode_cpus: float
    caption_actors: int
    caption_cpus: float
    gpus_per_actor: float


def size_pools(
    machine: Machine,
    *,
    decode_workers: int | Literal["auto"],
    caption_actors: int,
    gpus_per_actor: float,
    shares_cores: bool = False,
) -> Pools:
    """Fit the pools into `machine`; TooSmall with the sums when they cannot run.

    Where engines compute on the very cores that decode (`shares_cores`), `auto` starts a decoder for each core: which
    of the two a clip takes longer in is not known, and whoever is ahead is held back. What they reserve is a share.
    """
    machine.check_copies("engine", caption_actors, gpus_per_actor)
    cpus, usable = machine.cpus, machine.cpus - HEADROOM_CPUS
    caption_cpus = min(CAPTION_CPUS, usable / 2 / caption_actors)
    room = usable - caption_actors * caption_cpus
    fitting = max(1, int(cpus) if shares_cores else int(room / DECODE_CPUS))
    workers = fitting if decode_workers == "auto" else decode_workers
    decode_cpus, most = min(DECODE_CPUS, room / workers), max(1, int(WORKERS_A_CPU * cpus))
    if workers > most:
        raise TooSmall(
            f"decode.workers {workers}: more than {most} decoders would only wait for one another on {cpus:g} CPUs; "
            f"lower decode.workers (to {most}), or add CPUs"
        )
    if min(decode_cpus, caption_cpus) < MIN_CPUS:
        mend = f"decode.workers (to {fitting})" if workers > fitting else f"engine.actors (to {_most_actors(machine)})"
        raise TooSmall(
            f"decode.workers {workers} × {decode_cpus:.2g} CPU and engine.actors {caption_actors} × {caption_cpus:.2g} "
            f"CPU are shares of the {cpus:g} CPUs too small to work with, {HEADROOM_CPUS:g} of them left free so that "
            f"the graph cannot stand still; lower {mend}, or add CPUs"
        )
    return Pools(workers, decode_cpus, caption_actors, caption_cpus, gpus_per_actor)


def translator_cpus(machine: Machine, settings: TranslationSettings) -> float:
    """What each translator reserves of the CPUs; TooSmall with the sums when they cannot run on `machine`."""
    machine.check_copies("translation", settings.actors, settings.gpus_per_actor)
    share = min(1.0, (machine.cpus - HEADROOM_CPUS) / settings.actors)
    if share < MIN_CPUS:
        raise TooSmall(
            f"translation.actors {settings.actors} × {share:.2g} CPU are shares of the {machine.cpus:g} CPUs too small "
            "to work with; lower translation.actors, or add CPUs"
        )
    return share


def caption_actors(engine: EngineSettings, machine: Machine, model_bytes: int, picture_bytes: int, clips: int) -> int:
    """How many copies `engine.actors` means on `machine`, for a model and the frames of a clip of those sizes.

    `clips` are to do.
    """
    if engine.actors != "auto":
        return engine.actors
    if engine.gpus_per_actor:
        most = min(_most_actors(machine), machine.copies(engine.gpus_per_actor))
    elif engine.kind == "rehearsal":
        most = 1
    else:
        in_hand = engine.clips_in_flight + engine.slots  # the latter are kept, to measure the engine with
        copy_bytes = model_bytes + COPY_BYTES + in_hand * picture_bytes
        most = min(machine.cpus // engine.threads, MEMORY_SHARE * machine.memory_bytes // copy_bytes)
    return max(1, int(min(most, clips // (BATCHES * engine.slots))))


def _most_actors(machine: Machine) -> int:
    return max(1, int((machine.cpus - HEADROOM_CPUS) / 2 / MIN_CPUS))


def local_machine(gpus_per_actor: float) -> Machine:
    """What this process may use, of a container its share; GPUs are counted where an engine wants any."""
    return Machine(cores(), _local_gpus() if gpus_per_actor else 0, memory_bytes())


def _local_gpus() -> int:
    import torch

    return torch.cuda.device_count()
