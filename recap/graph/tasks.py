"""Functions that run on the joined cluster, as an executor."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import ray
from ray.exceptions import RayError

from recap.graph.lifeline import end_with_raylet
from recap.graph.stopping import RayLost

AT_ONCE = 16  # what they are given waits in Ray's memory
log = logging.getLogger(__name__)


class ClusterTasks(Executor):
    """A core for each call, on any node; `submit` waits while as many run as there are cores, or `AT_ONCE`.

    A future has what the function returned or raised, or RayLost where no worker could be kept alive for it.
    """

    def __init__(self):
        self._limit = max(1, min(AT_ONCE, int(ray.cluster_resources().get("CPU", 1))))
        self._running: list[ray.ObjectRef] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """The function and what it is given must be picklable."""
        while len(self._running) >= self._limit:
            _, self._running = ray.wait(self._running)
        reference = _run.remote(function, arguments)
        self._running.append(reference)
        future: Future[Any] = Future()
        reference.future().add_done_callback(lambda done: _hand_over(done, future))
        return future


@ray.remote(num_cpus=1, scheduling_strategy="SPREAD")
def _run(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    end_with_raylet()
    try:
        return function(*arguments), None
    except Exception as error:  # Ray's own way would lose an errno
        return None, error


def _hand_over(done: Future[Any], future: Future[Any]) -> None:
    try:
        result, error = done.result()
    except RayError as lost:
        log.error("a shard could not be written on the cluster (%s); run the same command again", lost)
        future.set_exception(RayLost())
    else:
        future.set_exception(error) if error else future.set_result(result)
