"""The captioning of one run: rounds of the graph over what is missing, a bounded number of clips at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from recap import ledger
from recap.graph.opened import Refused
from recap.graph.plan import WorkPlan
from recap.graph.sizing import Machine, TooSmall
from recap.graph.stages import WITHHELD, Receipt, WorkerLost
from recap.graph.stopping import GraceOver, Stop, stopping
from recap.graph.translating import Captioned, TranslationPlan
from recap.records import CAPTIONED, Clip
from recap.report.progress import Progress
from recap.report.speed import GraphBooks
from recap.storage import Location
from recap.timing import Spent

log = logging.getLogger(__name__)
Runner = Literal["ray", "loop"]
CaptionGraph = Callable[..., Iterator[Receipt]]
TranslationGraph = Callable[..., Iterator[int]]
CLIPS_AN_ACTOR = 50_000  # a graph starts its workers anew, and with fewer that would cost time
LEFT = (
    "%d clips are left for later: nothing is to be seen of their folders any more (is the corpus still mounted?), "
    "or workers died with them"
)
MAX_GRAPH_CLIPS = 5_000_000  # packed, they are in memory as long as it runs
MAX_TRANSLATED_CLIPS = 500_000  # with their captions, too
MERGE_EVERY_S = 600.0


@dataclass(frozen=True)
class Stops:
    """Seconds that a run which is asked to stop may still take, and after how many it is asked anyway."""

    grace_s: float
    budget_s: float | None = None


def graph_clips(actors: int, most: int = MAX_GRAPH_CLIPS) -> int:
    """How many clips one graph with that many copies of the model is given."""
    return min(most, CLIPS_AN_ACTOR * actors)


class Work:
    """`committed` tells what is captioned, `translated` what is in which language; `run` does the rest, for which
    `plan` must know the number of actors: of the first `limit` clips, or of those of the ordinals `only`. Only under
    the lease."""

    def __init__(
        self,
        snapshot: ledger.Snapshot,
        root: Location,
        plan: WorkPlan,
        limit: int | None,
        only: np.ndarray | None,
    ):
        self.snapshot, self.root, self.plan, self.limit, self.only = snapshot, root, plan, limit, only
        self.stopped_by: int | None = None
        self.is_over_budget = False
        self._take_stock()
        self.captioned_before = self.committed.counts()[CAPTIONED]
        self.captioning_s = self.translating_s = 0.0
        self.graphs: list[GraphBooks] = []

    def _take_stock(self, growing: bool = False) -> None:
        """Read what is committed. What was made of captions that are lost by now counts no more."""
        plan = self.plan
        self.committed = self._read(plan.fragments, growing)
        overlays = ledger.overlay_folders(plan.fragments.parents[1])
        ledger.forget_orphans(self.committed, overlays, plan.caption_key, plan.epoch)
        self.translated = {each.language: self._read(each.fragments, growing) for each in plan.translations}

    @property
    def to_do(self) -> np.ndarray:
        """The ordinals of the clips that are to be captioned."""
        return self._asked(self.committed.missing(self.limit))

    def run(self, runner: Runner, bars: Progress, stops: Stops) -> None:
        """Run the graphs until nothing is missing, a round makes no progress, the rounds are used up, or `stops`.

        Raises OutputFailed when nothing more can be committed.
        """
        started = time.monotonic()
        missing = self.to_do
        if not self.is_complete:
            (first,) = self.snapshot.clips(self.snapshot.present[:1], self.root)
            # Ray sets handlers of its own when its session begins: ours come after.
            stopped = stopping(stops.grace_s, stops.budget_s)
            with _graphs(runner, self.plan, first) as graphs, stopped as stop, _watched(runner, stop):
                if len(missing):
                    self._rounds(partial(graphs.caption, stop=stop), missing, bars, stop)
                stop.end_budget()  # it is of captioning
                for translation in self.plan.translations:
                    begun = time.monotonic()
                    self._translate(partial(graphs.translate, stop=stop, plan=translation), translation, bars, stop)
                    self.translating_s += time.monotonic() - begun
                self.stopped_by, self.is_over_budget = stop.signal, stop.is_over_budget
        self.captioning_s = time.monotonic() - started - self.translating_s

    @property
    def is_complete(self) -> bool:
        """Every clip asked for has a record, and every caption its translations."""
        lacking = (self._to_translate(each.language) for each in self.plan.translations)
        return not len(self.to_do) and not any(map(len, lacking))

    def untranslated(self, language: str) -> np.ndarray:
        """The ordinals of captioned clips that lack a language."""
        return self.committed.lacking(self.translated[language])

    def _to_translate(self, language: str) -> np.ndarray:
        return self._asked(self.committed.lacking(self.translated[language], self.limit))

    def _asked(self, ordinals: np.ndarray) -> np.ndarray:
        return ordinals if self.only is None else np.intersect1d(ordinals, self.only)

    def _read(self, folder: Location, growing: bool = False) -> ledger.Committed:
        """Once more where that made large fragments of many small ones: those are read fast, in any order.

        They are still `growing` where writers were cut off: a store may yet take what they sent.
        """
        ledger.require_lease(self.plan.fragments.parents[1], self.plan.epoch)  # it sets aside, and merges
        committed = ledger.Committed(self.snapshot, folder, ledger.set_aside)
        if ledger.compact(folder, committed.rows_in, growing=growing):
            committed = ledger.Committed(self.snapshot, folder, ledger.set_aside)
        return committed

    def _rounds(self, run_graph: CaptionGraph, missing: np.ndarray, bars: Progress, stop: Stop) -> None:
        for number in range(1, self.plan.ray.rounds + 1):
            bars.start(len(missing), self.committed.counts())
            self._round(run_graph, missing, bars, stop)
            self._take_stock(growing=stop.is_grace_over)
            before, missing = len(missing), self.to_do
            is_stuck = number > 1 and len(missing) == before
            if stop or not len(missing) or is_stuck or number == self.plan.ray.rounds:
                return
            log.warning("round %d left %d clips behind; going on with those", number, len(missing))

    def _round(self, run_graph: CaptionGraph, missing: np.ndarray, bars: Progress, stop: Stop) -> None:
        step, merger = graph_clips(self.plan.engine.actors), self._merger(self.plan.fragments, self.committed)
        for start in range(0, len(missing), step):
            if stop:
                return
            merger.merge()
            clips, withheld = self.snapshot.clips(missing[start : start + step], self.root), 0
            with self._losses(stop):
                for receipt in run_graph(clips, _Watcher(bars, start, self.graphs)):
                    with stop.uninterrupted():
                        merger.merge(MERGE_EVERY_S, growing=True)
                    if receipt.status == WITHHELD:
                        withheld += 1
                    else:
                        bars.add(receipt.status)
            if withheld and not stop:
                log.warning(LEFT, withheld)

    def _translate(self, translate: TranslationGraph, plan: TranslationPlan, bars: Progress, stop: Stop) -> None:
        before = None
        for number in range(self.plan.ray.rounds):
            ordinals = self._to_translate(plan.language)
            if stop or not len(ordinals) or (number > 1 and len(ordinals) == before):
                return
            before = len(ordinals)
            bars.start_translating(before, plan.language)
            step = graph_clips(plan.settings.actors, MAX_TRANSLATED_CLIPS)
            merger = self._merger(plan.fragments, self.translated[plan.language])
            for start in range(0, before, step):
                if stop:
                    break
                merger.merge()
                clips = list(self._captioned(ordinals[start : start + step]))
                if number % 2:
                    clips.reverse()  # a graph ends where a translator dies again and again; this comes from behind
                with self._losses(stop):
                    for done in translate(clips):
                        with stop.uninterrupted():
                            merger.merge(MERGE_EVERY_S, growing=True)
                        bars.add_translated(done)
            self.translated[plan.language] = self._read(plan.fragments, stop.is_grace_over)

    def _merger(self, folder: Location, committed: ledger.Committed) -> _Merger:
        return _Merger(folder, self.plan.epoch, committed.rows_in)

    @contextmanager
    def _losses(self, stop: Stop) -> Iterator[None]:
        """A graph that ends before its clips do leaves them to the next round."""
        try:
            with stop.interruptible():
                yield
        except WorkerLost as error:
            log.warning("a worker was lost: %s", error)
            log.info("what it said", exc_info=error)
        except (Refused, TooSmall) as error:
            if not any(graph.spents for graph in self.graphs):
                raise
            log.warning("no worker can start: %s", error)
        except GraceOver:
            if not stop.is_idle:
                log.warning("%g s were not enough to finish what was in flight", stop.grace_s)

    def _captioned(self, ordinals: np.ndarray) -> Iterator[Captioned]:
        for some, rows in self.committed.records(ordinals, ["captions"]):
            clips = self.snapshot.clips(some, self.root)
            yield from zip(clips, map(ledger.captions_of, rows["captions"].to_pylist()), strict=True)


class _Merger:
    """Keeps the fragments few while graphs run: whoever reads them later reads them before all else."""

    def __init__(self, folder: Location, epoch: int, rows_in: Mapping[Location, int]):
        self.folder, self.epoch, self.rows_in, self.at = folder, epoch, rows_in, 0.0

    def merge(self, every_s: float = 0.0, *, growing: bool = False) -> None:
        if time.monotonic() - self.at >= every_s:
            ledger.require_lease(self.folder.parents[1], self.epoch)
            self.rows_in = {**self.rows_in, **ledger.compact(self.folder, self.rows_in, growing=growing)}
            self.at = time.monotonic()


@dataclass
class _Watcher:
    bars: Progress
    before: int
    graphs: list[GraphBooks]

    def on_decoded(self, clips: int) -> None:
        self.bars.set_decoded(self.before + clips)

    def on_spent(self, spents: Sequence[Spent], machine: Machine) -> None:
        self.graphs.append(GraphBooks(spents, machine))


@contextmanager
def _watched(runner: Runner, stop: Stop) -> Iterator[None]:
    """Ends the run with RayLost when Ray is lost under it."""
    if runner == "loop" or not stop.is_heard:
        yield
        return
    from recap.graph.watched import watched_ray

    with watched_ray(stop.end):
        yield


@dataclass(frozen=True)
class _Graphs:
    caption: CaptionGraph
    translate: TranslationGraph


@contextmanager
def _graphs(runner: Runner, plan: WorkPlan, clip: Clip) -> Iterator[_Graphs]:
    if runner == "loop":
        from recap.graph.loop import loop_round
        from recap.graph.translating import loop_translation

        yield _Graphs(partial(loop_round, plan=plan), loop_translation)
    else:
        from recap.graph.joined import joined_machine
        from recap.graph.journal import Journal
        from recap.graph.nodes import check_nodes
        from recap.graph.ray_graph import ray_round
        from recap.graph.ray_translation import ray_translation
        from recap.graph.session import ray_session

        with ray_session(plan.ray.address):
            if plan.ray.address is not None or len(joined_machine().node_gpus) > 1:
                translators = {each.settings.checkpoint for each in plan.translations if each.settings.has_model}
                checkpoints = filter(None, (plan.model.checkpoint, plan.model.base, *translators))
                needs = {
                    "needs_vllm": plan.engine.kind == "vllm",
                    "needs_nvdec": plan.decode.hardware == "nvdec",
                }
                check_nodes(plan.fragments.parents[1], clip.location, checkpoints, **needs)
            yield _Graphs(partial(ray_round, plan=plan, journal=Journal()), ray_translation)
