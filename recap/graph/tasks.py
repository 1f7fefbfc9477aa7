"""Functions that run on the joined cluster, as an executor."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import closing
from typing import Any

import ray
from ray.exceptions import TaskCancelledError

from recap.graph.lifeline import end_surely
from recap.graph.stopping import RayLost
from recap.graph.telling import Retelling, Telling, Warnings, together

AT_ONCE = 16  # what they are given waits in Ray's memory
CANCELLED_S = 5.0
log = logging.getLogger(__name__)


class ClusterTasks(Executor):
    """Calls on any node, as many at a time as the cluster has cores, up to `AT_ONCE`: `submit` waits for that.

    A future has what the function returned, or what Ray says where that raised, or no worker survived it. The end of
    the context cancels what is left, and has told what was warned of.
    """

    def __init__(self):
        self._limit = max(1, min(AT_ONCE, int(ray.cluster_resources().get("CPU", 1))))
        self._running: list[ray.ObjectRef] = []
        self._calls, self._warned, self._retelling = 0, {}, Retelling()

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """The function and what it is given must be picklable."""
        while len(self._running) >= self._limit:
            _, self._running = ray.wait(self._running)
        reference = _run.remote(function, arguments)
        self._running.append(reference)
        future: Future[Any] = Future()
        reference.future().add_done_callback(lambda done: self._hand_over(done, future))
        return future

    def __exit__(self, kind: type[BaseException] | None, *what: Any) -> bool | None:
        if kind is RayLost:
            self._running = []  # nobody would hear that it is cancelled
        return super().__exit__(kind, *what)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """What still runs is nobody's any more."""
        self._cancel()
        self._cancel(force=True)  # workers do not hear of the first where recap was started with SIGINT ignored
        self._retelling.close()
        log.info("%d calls were answered by nodes of the cluster", self._calls)

    def _cancel(self, *, force: bool = False) -> None:
        """Wait for a little until nothing runs any more; by `force` its processes are killed."""
        for reference in self._running:
            ray.cancel(reference, force=force)
        if self._running:
            _, self._running = ray.wait(self._running, num_returns=len(self._running), timeout=CANCELLED_S)

    def _hand_over(self, done: Future[tuple[Any, Warnings]], future: Future[Any]) -> None:
        try:
            result, warned = done.result()
        except TaskCancelledError:
            future.cancel()
        except Exception as error:
            future.set_exception(error)
        else:
            self._calls, self._warned = self._calls + 1, together([self._warned, warned])
            self._retelling.hear(self._warned)
            future.set_result(result)


# No core is asked for: other runs may have them all, for hours.
@ray.remote(num_cpus=0, scheduling_strategy="SPREAD")
def _run(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Warnings]:
    end_surely()
    with closing(Telling()) as telling:
        return function(*arguments), telling.warned
