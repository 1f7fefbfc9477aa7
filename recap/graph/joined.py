"""What the joined cluster has, and what can run on it."""

from __future__ import annotations

import math

import ray

from recap.engines import EngineSettings
from recap.graph.sizing import Machine, Pools, size_pools, translator_cpus
from recap.translation import TranslationSettings
from recap.video import DecodeSettings


def size_cluster(decode: DecodeSettings, engine: EngineSettings) -> Pools:
    """The pools for the cluster that is joined; TooSmall when they cannot run on it."""
    return size_pools(
        joined_machine(),
        decode_workers=decode.workers,
        caption_actors=1 if engine.actors == "auto" else engine.actors,
        gpus_per_actor=engine.gpus_per_actor,
        shares_cores=engine.computes_on_cpu,
    )


def check_translators(settings: TranslationSettings) -> None:
    """TooSmall when they cannot run on the cluster that is joined: a graph would wait for room without an end."""
    if settings.languages:
        translator_cpus(joined_machine(), settings)


def joined_machine() -> Machine:
    """What the joined cluster has in all."""
    have = ray.cluster_resources()
    nodes = tuple(node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"])
    return Machine(have.get("CPU", 0), have.get("GPU", 0), have.get("memory", 0), nodes)


def copies_a_node(actors: int) -> int:
    """How many of a pool's actors may share a machine of the joined cluster."""
    return math.ceil(actors / len(joined_machine().node_gpus))
