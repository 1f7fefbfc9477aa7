"""Ends what is done with Ray, in order, when Ray cannot be used any more: it would end our process without a word."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from recap.graph.head import watched_head
from recap.graph.raylet import watched_raylet
from recap.graph.stopping import GO_ON, RayLost

log = logging.getLogger(__name__)


@contextmanager
def watched_ray(end: Callable[[KeyboardInterrupt], None]) -> Iterator[None]:
    """Say so, and `end` with RayLost, when Ray's process on this machine or the head of the cluster dies inside."""

    first = threading.Lock()

    def on_lost(what: str) -> None:
        if first.acquire(blocking=False):  # both die with the head's node, and a second end would break off the first's
            log.error("%s; %s", what, GO_ON)
            end(RayLost())

    with (
        watched_raylet(partial(on_lost, "Ray's process on this machine died")),
        watched_head(partial(on_lost, "the head of the Ray cluster does not answer any more")),
    ):
        yield
