"""The captioning of one run: rounds of the graph over what is missing, a bounded number of clips at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal

import numpy as np

from recap import ledger
from recap.graph.plan import WorkPlan
from recap.graph.stages import WITHHELD, Receipt, WorkerLost
from recap.graph.stopping import GraceOver, Stop, stopping
from recap.records import CAPTIONED, Clip
from recap.report.progress import Progress
from recap.storage import Location

log = logging.getLogger(__name__)
Runner = Literal["ray", "loop"]
RunGraph = Callable[..., Iterator[Receipt]]
GRAPH_CLIPS = 50_000  # in memory as objects; a graph starts its workers, so smaller would cost time


class Work:
    """`committed` tells what is done; `caption` does the rest. Only under the lease."""

    def __init__(self, snapshot: ledger.Snapshot, root: Location, plan: WorkPlan, limit: int | None, grace_s: float):
        self.snapshot, self.root, self.plan, self.limit = snapshot, root, plan, limit
        self.grace_s = grace_s
        self.stopped_by: int | None = None
        ledger.compact(plan.fragments)
        self.committed = self._read()
        self.captioned_before = self.committed.counts()[CAPTIONED]
        self.seconds = 0.0

    def caption(self, runner: Runner, bars: Progress) -> None:
        """Run the graph until nothing is missing, a round makes no progress, the rounds are used up, or a signal.

        Raises OutputFailed when nothing more can be committed.
        """
        started = time.monotonic()
        missing = self.committed.missing(self.limit)
        if len(missing):
            first = next(self.snapshot.clips(missing, self.root))
            # Ray sets handlers of its own when its session begins: ours come after.
            with _runner(runner, self.plan, first) as run_graph, stopping(self.grace_s) as stop:
                self._rounds(partial(run_graph, stop=stop), missing, bars, stop)
                self.stopped_by = stop.signal
        self.seconds = time.monotonic() - started

    def _read(self) -> ledger.Committed:
        return ledger.Committed(self.snapshot, self.plan.fragments, ledger.set_aside)

    def _rounds(self, run_graph: RunGraph, missing: np.ndarray, bars: Progress, stop: Stop) -> None:
        for number in range(1, self.plan.ray.rounds + 1):
            bars.start(len(missing), self.committed.counts())
            self._round(run_graph, missing, bars, stop)
            self.committed = self._read()
            before, missing = len(missing), self.committed.missing(self.limit)
            if stop or not len(missing) or (len(missing) == before and number > 1):
                return
            log.warning("round %d left %d clips behind; going on with those", number, len(missing))

    def _round(self, run_graph: RunGraph, missing: np.ndarray, bars: Progress, stop: Stop) -> None:
        for start in range(0, len(missing), GRAPH_CLIPS):
            if stop:
                return
            clips = list(self.snapshot.clips(missing[start : start + GRAPH_CLIPS], self.root))
            try:
                for receipt in run_graph(clips, lambda decoded, start=start: bars.set_decoded(start + decoded)):
                    if receipt.status != WITHHELD:
                        bars.add(receipt.status)
            except WorkerLost as error:
                log.warning("a worker was lost: %s", error)
                log.info("what it said", exc_info=error)
            except GraceOver:
                log.warning("%g s were not enough to finish what was in flight", self.grace_s)


@contextmanager
def _runner(runner: Runner, plan: WorkPlan, clip: Clip) -> Iterator[RunGraph]:
    if runner == "loop":
        from recap.graph.loop import loop_round

        yield partial(loop_round, plan=plan)
    else:
        from recap.graph.nodes import check_nodes
        from recap.graph.ray_graph import ray_round, ray_session

        with ray_session(plan.ray.address):
            if plan.ray.address is not None:
                checkpoints = filter(None, (plan.model.checkpoint, plan.model.base))
                check_nodes(plan.fragments.parents[1], clip.location, checkpoints)
            yield partial(ray_round, plan=plan)
