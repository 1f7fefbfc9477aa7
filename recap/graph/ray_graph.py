"""The graph on Ray Data: thin actors over the two stages."""

from __future__ import annotations

import logging
import os
import pickle
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, replace
from typing import NoReturn

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset
from ray.exceptions import RayError

from recap.engines import EngineLost
from recap.graph.dealing import QUEUED_BLOCKS, GraphClips, blocks, bundle_clips, bundles, calls
from recap.graph.joined import copies_a_node, joined_machine, size_cluster
from recap.graph.journal import Journal, Past
from recap.graph.lifeline import end_surely
from recap.graph.noting import earlier_crash
from recap.graph.opened import Opened
from recap.graph.plan import WorkPlan
from recap.graph.ray_data import (
    ASK_EVERY_S,
    Workers,
    blocks_of,
    dataset_of,
    ended_when_idle,
    in_time,
    packed,
    raise_what_ended,
    start_coordinator,
    stoppable,
    unpacked,
)
from recap.graph.reporter import Reporter
from recap.graph.sizing import Pools, TooSmall
from recap.graph.stages import CaptionStage, DecodeStage, Receipt
from recap.graph.stopping import Stop
from recap.graph.telling import Retelling
from recap.graph.watcher import Watcher

log = logging.getLogger(__name__)
STEP_BACK = 10  # of niceness: a tenth of the time of a core that a decoder wants, too


def ray_round(
    clips: GraphClips, watcher: Watcher, stop: Stop, *, plan: WorkPlan, journal: Journal
) -> Iterator[Receipt]:
    """Decode and caption `clips` on the joined cluster; receipts come as clips are finished.

    It ends when all are, or after `stop` as soon as nothing is at work any more (by GraceOver while nothing comes).
    Clips that workers of this run died with again and again, as the `journal` tells, come back withheld. Raises
    WorkerLost when a worker died more often than it is restarted, Refused when none can start, and OutputFailed when
    one could not commit; what was committed until then stays.
    """
    machine, told = joined_machine(), journal.last_words
    coordinator = start_coordinator(len(clips), journal)
    asked, retelling = 0.0, Retelling()
    workers = Workers(stop, len(clips) // plan.engine.actors)
    try:
        dataset = _graph(clips, plan, _pools_that_fit(plan), coordinator, workers)
        with (
            workers,
            closing(blocks_of(dataset)) as done,
            stoppable(stop, coordinator),
            ended_when_idle(stop, coordinator) as idle,
        ):
            for bundle in done:
                if time.monotonic() - asked >= ASK_EVERY_S:
                    asked = time.monotonic()
                    watcher.on_decoded(ray.get(coordinator.total.remote()))
                    retelling.hear(ray.get(coordinator.warned.remote()))
                yield from (Receipt(**receipt) for receipts in bundle["receipts"].to_pylist() for receipt in receipts)
                if idle.is_set():
                    workers.leaving_s = ASK_EVERY_S  # by themselves they would go through all that is left
                    break
    except RayError as error:
        with suppress(RayError):
            journal.follow(*in_time(coordinator.what_is_known.remote()))
        raise_what_ended(error, journal.last_words)
    finally:
        if not stop.is_ray_lost:
            with suppress(RayError):
                warned, spents, known = in_time(
                    coordinator.warned.remote(), coordinator.spents.remote(), coordinator.what_is_known.remote()
                )
                retelling.hear(warned)
                watcher.on_spent(spents, machine)
                journal.follow(known)
            ray.kill(coordinator)
        if journal.last_words != told:
            log.warning("a worker was replaced: %s", journal.last_words)
        retelling.close()


def _pools_that_fit(plan: WorkPlan) -> Pools:
    """`size_cluster`, with fewer copies of the model where the cluster has lost what some of them were to run on."""
    wanted = plan.engine.actors
    for actors in range(wanted, 0, -1):
        with suppress(TooSmall):
            pools = size_cluster(plan.decode, replace(plan.engine, actors=actors))
            if actors < wanted:
                log.warning("the cluster has room for %d of %d copies of the model", actors, wanted)
            return pools
    return size_cluster(plan.decode, plan.engine)  # which says why there is room for none


def _graph(
    clips: GraphClips, plan: WorkPlan, pools: Pools, coordinator: ray.actor.ActorHandle, workers: Workers
) -> Dataset:
    size = bundle_clips(len(clips), pools.decode_workers, plan.engine.clips_in_flight)
    dealt = blocks(clips, size, pools.decode_workers)
    at_once, in_hand = calls(len(clips), size, plan.engine.clips_in_flight, pools.caption_actors)
    decode_pool = ActorPoolStrategy(size=pools.decode_workers, max_tasks_in_flight_per_actor=QUEUED_BLOCKS)
    caption_pool = ActorPoolStrategy(
        size=pools.caption_actors,
        max_concurrent_calls_per_actor=at_once,
        max_tasks_in_flight_per_actor=in_hand,
    )
    common = {"batch_size": 1, "batch_format": "pyarrow", "ray_remote_args_fn": workers.options}
    decoded = dataset_of([pa.table({"clips": [packed(block)]}) for block in dealt]).map_batches(
        _Decode,
        fn_constructor_args=(plan, coordinator, size),
        compute=decode_pool,
        num_cpus=pools.decode_cpus,
        **common,
    )
    return decoded.map_batches(
        _Caption,
        fn_constructor_args=(plan, coordinator),
        compute=caption_pool,
        num_cpus=pools.caption_cpus,
        num_gpus=pools.gpus_per_actor,
        **common,
    )


class _Decode:
    def __init__(self, plan: WorkPlan, coordinator: ray.actor.ActorHandle, size: int):
        end_surely()
        self.coordinator, self.reporter, self.size = coordinator, Reporter(coordinator), size
        self.opened = Opened(lambda: DecodeStage(plan))
        self.looked, self.is_closed = 0.0, False

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        stage = self.opened.stage
        for bundle in bundles(unpacked(block["clips"][0].as_py()), self.size):
            # One at a time: the frames of all of a bundle need not stand here in both forms.
            pickled = [pickle.dumps(None if self._is_closed() else stage.decode(clip), protocol=5) for clip in bundle]
            self.coordinator.add.remote([clip.clip_id for clip in bundle])
            self.reporter.report(stage.spent())
            yield pa.table({"clips": [packed(bundle)], "frames": pa.array([pickled], pa.list_(pa.large_binary()))})

    def _is_closed(self) -> bool:
        if time.monotonic() - self.looked >= ASK_EVERY_S:
            self.is_closed, self.looked = ray.get(self.coordinator.is_closed.remote()), time.monotonic()
        return self.is_closed


def _step_back() -> None:
    """Let decoders go first, on cores that this process shares with them, until their frames are held back.

    Turns of milliseconds would leave the caches to neither.
    """
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, int(thread), os.getpriority(os.PRIO_PROCESS, int(thread)) + STEP_BACK)


class _Caption:
    def __init__(self, plan: WorkPlan, coordinator: ray.actor.ActorHandle):
        end_surely()
        self.coordinator, self.reporter = coordinator, Reporter(coordinator)
        self.name = self.reporter.name  # of this process: another could overwrite a fragment
        if crashed := earlier_crash(coordinator, self.name):
            ray.get(coordinator.crashed.remote(crashed))
        copies = copies_a_node(plan.engine.actors)
        self.opened = Opened(lambda: CaptionStage(plan, self.name, copies=copies))
        if plan.engine.computes_on_cpu:
            _step_back()

    async def __call__(self, bundle: pa.Table) -> Iterator[pa.Table]:
        stage = self.opened.stage
        clips, frames = unpacked(bundle["clips"][0].as_py()), map(pickle.loads, bundle["frames"][0].as_py())
        decoded = list(zip(clips, frames, strict=True))
        try:
            receipts = await stage.caption_beside(decoded, self)
        except EngineLost as error:
            await self._leave(error)
        await self.reporter.report(stage.spent())
        yield pa.table({"receipts": [[asdict(receipt) for receipt in receipts]]})

    async def _leave(self, error: EngineLost) -> NoReturn:
        """As a crash would, but committed and without a core dump: the process that comes next may do better."""
        log.error("this process ends, and another takes its place: %s", error)
        try:
            await self.coordinator.crashed.remote(self.name, str(error))
        finally:
            os._exit(1)

    async def admit(self, clip_ids: Sequence[str]) -> dict[str, Past] | None:
        return await self.coordinator.admit.remote(self.name, clip_ids)

    async def alone(self, clip_id: str | None) -> None:
        await self.coordinator.alone.remote(self.name, clip_id)

    async def is_last(self) -> bool:
        return await self.coordinator.is_complete.remote()

    async def is_closed(self) -> bool:
        return await self.coordinator.is_closed.remote()

    async def is_over(self, clip_ids: Sequence[str], done: Sequence[str], committed: Sequence[str]) -> bool:
        return await self.coordinator.is_over.remote(clip_ids, done, committed)
