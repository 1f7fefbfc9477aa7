"""The speed account: how fast a run was, how fast it could have been, and what it waited for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from recap.graph.calibration import ENGINE_PHASES
from recap.graph.sizing import Machine
from recap.timing import WAITS, Calibration, Spent, together

PHASES = {
    "decode": ("fetching", "decoding", WAITS["decode"]),
    "caption": (*ENGINE_PHASES, WAITS["caption"], "commit"),
}
BUSY = {"decode": ("decoding",), "caption": ENGINE_PHASES}


@dataclass(frozen=True)
class GraphBooks:
    """What one graph's workers did, and on what."""

    spents: Sequence[Spent]
    machine: Machine

    def working_s(self, actors: int) -> float:
        """Seconds for which there was an engine ready to caption: of `actors`, each of which may have died and begun
        anew."""
        ready = [s.alive_s - s.seconds.get("starting", 0.0) for s in self.spents if s.role == "caption"]
        return max(*ready, sum(ready) / actors) if ready else 0.0

    @property
    def calibrating_s(self) -> float:
        """Seconds that went into measuring the ceiling."""
        return max((sum(each.took_s for each in s.calibrations) for s in self.spents), default=0.0)


@dataclass(frozen=True)
class Wall:
    """Seconds that a run took: before its graphs, with those that caption and that translate, and until its end."""

    planning_s: float
    captioning_s: float
    translating_s: float
    finishing_s: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.planning_s + self.captioning_s + self.translating_s + self.finishing_s


@dataclass(frozen=True)
class Pool:
    """Shares of its workers' lives after their start, 0 to 1: `busy` is what computed, `shares` its parts and waits."""

    workers: int
    busy: float
    shares: dict[str, float]


@dataclass(frozen=True)
class Ceiling:
    """What the machine could do, in clips/s, the share of it that was reached, and what it is bound by.

    `is_own_pace` where the run was faster than it was calibrated to be: what was done can be done.
    """

    clips_per_s: float
    share: float
    bound_by: str
    calibration_clips: int
    is_own_pace: bool = False


@dataclass(frozen=True)
class SpeedAccount:
    """Seconds, rates per second of `working_s`, and shares. GPU figures are None where there are none.

    `seconds` are the sum of the six: `planning_s` until all is known that is to do, `starting_s` with graphs that
    caption but no engine that is ready (Ray, loading, and their ends), `finishing_s` cutting shards. `pools` is empty
    where nothing was to be captioned. A GPU is held by a caption actor, and provisioned where the cluster has it.
    """

    seconds: float
    planning_s: float
    starting_s: float
    calibrating_s: float
    working_s: float
    translating_s: float
    finishing_s: float
    clips_per_s: float
    prompt_tokens_per_s: float
    output_tokens_per_s: float
    texts_per_step: float
    clips_per_gpu_hour_held: float | None
    clips_per_gpu_hour_provisioned: float | None
    pools: dict[str, Pool]
    ceiling: Ceiling | None


def speed_account(wall: Wall, graphs: Sequence[GraphBooks], gpus_held: float, actors: int) -> SpeedAccount | None:
    """The account of a run; None where nothing was to be captioned or translated."""
    if not graphs and not wall.translating_s:
        return None
    spents = [spent for graph in graphs for spent in graph.spents]
    decode, caption = together("decode", spents), together("caption", spents)
    working_s, counts = sum(graph.working_s(actors) for graph in graphs), Counter(caption.counts)
    calibrating_s = sum(graph.calibrating_s for graph in graphs)
    machine = graphs[-1].machine if graphs else Machine(0, 0)
    pace = _per(working_s, counts["clips"])
    return SpeedAccount(
        seconds=wall.seconds,
        planning_s=wall.planning_s,
        starting_s=max(0.0, wall.captioning_s - working_s - calibrating_s),
        calibrating_s=calibrating_s,
        working_s=working_s,
        translating_s=wall.translating_s,
        finishing_s=wall.finishing_s,
        clips_per_s=pace,
        prompt_tokens_per_s=_per(working_s, counts["prompt_tokens"]),
        output_tokens_per_s=_per(working_s, counts["output_tokens"]),
        texts_per_step=_per(counts["steps"], counts["texts_stepped"]),
        clips_per_gpu_hour_held=_per_hour(counts["clips"], gpus_held * wall.captioning_s),
        clips_per_gpu_hour_provisioned=_per_hour(counts["clips"], machine.gpus * wall.seconds),
        pools={"decode": _pool(decode), "caption": _pool(caption)} if graphs else {},
        ceiling=_ceiling(decode, caption, machine, engines_apart(actors, gpus_held / actors), pace),
    )


def _per(amount: float, number: int) -> float:
    return number / amount if amount else 0.0


def _per_hour(clips: int, gpu_seconds: float) -> float | None:
    return 3600 * clips / gpu_seconds if gpu_seconds else None


def _pool(spent: Spent) -> Pool:
    life = max(spent.alive_s - spent.seconds.get("starting", 0.0), 1e-9)
    shares = {name: spent.seconds.get(name, 0.0) / life for name in PHASES[spent.role]}
    return Pool(spent.workers, sum(shares[name] for name in BUSY[spent.role]), shares)


def _ceiling(decode: Spent, caption: Spent, machine: Machine, apart: int, pace: float) -> Ceiling | None:
    if not caption.calibrations or not decode.workers or not pace:
        return None
    engine = Calibration(*map(sum, zip(*map(astuple, caption.calibrations), strict=True)))
    decode_core_s = decode.core_seconds.get("decoding", 0.0) / caption.counts["clips"]  # bad files have their share
    bound_by, most = narrowest(machine, apart, engine, decode_core_s)
    ceiling = max(most, pace)
    return Ceiling(ceiling, pace / ceiling, bound_by, engine.clips, is_own_pace=pace > most)


def engines_apart(actors: int, gpus_per_actor: float) -> int:
    """Copies that do not slow one another down on a GPU: of those that share one, each alone may fill it."""
    return math.ceil(round(actors * gpus_per_actor, 6)) if 0 < gpus_per_actor < 1 else actors


def narrowest(machine: Machine, apart: int, engine: Calibration, decode_core_s: float) -> tuple[str, float]:
    """What so many engines `apart` are bound by on `machine`, and clips/s that no scheduler can beat.

    That is engines that never wait, or cores that are never idle, where a clip takes `decode_core_s` core-seconds
    of decoding.
    """
    most = "decoding" if decode_core_s > engine.clip_core_s else "engine"
    cores = machine.cpus / (engine.clip_core_s + decode_core_s)
    return min(("engine", apart / engine.clip_s), (f"CPU cores, mostly {most}", cores), key=lambda bound: bound[1])
