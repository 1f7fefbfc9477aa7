"""What a process of an actor learns of the one before it, which may have run on another node."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from recap.graph.crashes import crashed_before, note_crashes
from recap.graph.ray_data import ANSWER_S


def earlier_crash(coordinator: ray.actor.ActorHandle, name: str) -> str | None:
    """The name of the process that this one, of `name`, takes the place of, if that crashed.

    To be called once. None, too, where its node went with what it could tell.
    """
    context = ray.get_runtime_context()
    actor, node = context.get_actor_id(), context.get_node_id()
    before = ray.get(coordinator.moves.remote(actor, node))
    crashed = note_crashes(_note(actor), name)
    return crashed if before in (None, node) else crashed_on(before, actor)


def crashed_on(node: str, actor: str) -> str | None:
    """The name under which a process of `actor` crashed on that node; None where it did not, or cannot be asked."""
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    with suppress(RayError):
        return ray.get(_crashed_here.options(scheduling_strategy=there).remote(actor), timeout=ANSWER_S)
    return None


@ray.remote(num_cpus=0)
def _crashed_here(actor: str) -> str | None:
    return crashed_before(_note(actor))


def _note(actor: str) -> Path:
    """Where processes of the actor note their crashes on this node."""
    return Path(ray._private.worker._global_node.get_session_dir_path()) / f"recap-{actor}"
