"""How a process of an actor makes itself known to its graph's coordinator."""

from __future__ import annotations

import logging
from uuid import uuid4

import ray

from recap.graph.telling import Telling
from recap.timing import Spent

log = logging.getLogger(__name__)


class Reporter:
    """Made before all else in a worker: what recap warns of from now on is reported too.

    An actor that Ray restarts keeps its id; `name` is of this process alone.
    """

    def __init__(self, coordinator: ray.actor.ActorHandle):
        self.name, self._coordinator, self._telling = uuid4().hex, coordinator, Telling()
        context = ray.get_runtime_context()
        self._actor = context.get_actor_id()
        if context.was_current_actor_reconstructed:
            log.warning("a process died, and this one took its place")
        self.report()

    def report(self, spent: Spent | None = None) -> ray.ObjectRef:
        """Tell the coordinator of the warnings so far, and what the time went into."""
        return self._coordinator.report.remote(self._actor, self.name, self._telling.warned, spent)
