"""Who all actors of a graph report to, and ask. Without Ray Data, which its process would load for nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence

from recap.graph.journal import Journal, Past
from recap.graph.lifeline import end_surely
from recap.graph.telling import Warned, Warnings, together
from recap.timing import Spent


class Coordinator:
    """How many of a graph's clips have been decoded and are done, who has which, what its workers did, and whether it
    is to stop. Bundles of clips are known by their first one, as Ray may have a worker do one twice."""

    def __init__(self, clips: int, journal: Journal | None = None):
        end_surely()
        self.clips, self.count, self.done, self.closed = clips, 0, 0, False
        self.decoded: set[str] = set()  # and not over yet
        self.over: set[str] = set()
        self.at_work: dict[str, str] = {}  # clips that were admitted and are not committed, and the worker of each
        self.books: dict[str, Spent] = {}
        self.workers: dict[str, str] = {}  # the process of each actor
        self.nodes: dict[str, str] = {}  # and where it runs
        self.living: dict[str, tuple[str, float]] = {}
        self.over_at = 0.0
        self.warnings: dict[str, Warnings] = {}
        self.journal = journal or Journal()

    def close(self) -> None:
        self.closed = True

    def admit(self, worker: str, clip_ids: Sequence[str]) -> dict[str, Past] | None:
        if self.closed:
            return None
        self.at_work |= dict.fromkeys(clip_ids, worker)
        return self.journal.begin(worker, clip_ids)

    def alone(self, worker: str, clip_id: str | None) -> None:
        self.journal.alone(worker, clip_id)

    def moves(self, actor: str, node: str) -> str | None:
        """It runs on that node from now on; where it ran before, if it did."""
        before, self.nodes[actor] = self.nodes.get(actor), node
        return before

    def crashed(self, worker: str, said: str = "") -> None:
        self._forget(worker)
        self.journal.crashed(worker, said)

    def is_closed(self) -> bool:
        return self.closed

    def is_idle(self) -> bool:
        return self.closed and not self.at_work

    def add(self, clip_ids: Sequence[str]) -> None:
        if clip_ids[0] not in self.decoded and clip_ids[0] not in self.over:
            self.count += len(clip_ids)
            self.decoded.add(clip_ids[0])

    def report(self, actor: str, worker: str, warned: Warnings, spent: Spent | None = None) -> None:
        """`worker` is a process of the `actor`: the one before it is dead."""
        self.warnings[worker] = warned
        if (was := self.workers.get(actor)) not in (None, worker):
            self._forget(was)
            self.living.pop(actor, None)
        self.workers[actor] = worker
        if spent is not None:
            self.books[worker] = spent
            self.living[actor] = worker, time.monotonic()

    def _forget(self, worker: str) -> None:
        """It is dead: what it had not committed is for another round."""
        self.at_work = {clip_id: at for clip_id, at in self.at_work.items() if at != worker}

    def spents(self) -> list[Spent]:
        """Of those that live, with their wait until the last bundle was over."""
        waits = {worker: max(0.0, self.over_at - at) for worker, at in self.living.values()}
        return [spent.and_waited(waits.get(worker, 0.0)) for worker, spent in self.books.items()]

    def warned(self) -> dict[str, Warned]:
        return together(self.warnings.values())

    def total(self) -> int:
        return self.count

    def is_complete(self) -> bool:
        return self.count >= self.clips

    def is_over(self, clip_ids: Sequence[str], done: Sequence[str], committed: Sequence[str]) -> bool:
        self.journal.end(done)
        for clip_id in committed:
            self.at_work.pop(clip_id, None)
        self.add(clip_ids)
        self.decoded.discard(clip_ids[0])
        self.done += 0 if clip_ids[0] in self.over else len(clip_ids)
        self.over.add(clip_ids[0])
        self.over_at = time.monotonic()
        return self.done >= self.clips

    def what_is_known(self) -> Journal:
        return self.journal
