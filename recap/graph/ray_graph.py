"""The graph on Ray Data: thin actors over the two stages."""

from __future__ import annotations

import logging
import math
import os
import pickle
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset
from ray.exceptions import RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from recap.engines import EngineLost, EngineSettings
from recap.graph.counter import Counter
from recap.graph.crashes import note_crashes
from recap.graph.journal import Journal, Past
from recap.graph.lifeline import end_with_raylet
from recap.graph.opened import Opened, Refused
from recap.graph.plan import WorkPlan
from recap.graph.reporter import Reporter
from recap.graph.sizing import Machine, Pools, size_pools, translator_cpus
from recap.graph.stages import CaptionStage, DecodeStage, Receipt, WorkerLost
from recap.graph.stopping import Stop
from recap.graph.telling import Retelling
from recap.graph.watcher import Watcher
from recap.ledger import OUTPUT_ERRORS, OutputFailed
from recap.levels import at_level
from recap.records import Clip
from recap.translation import TranslationSettings
from recap.video import DecodeSettings

log = logging.getLogger(__name__)
# Each block makes work for Ray's processes, the driver above all; but it goes on with its slowest clip, and what it
# holds back is lost to an idle engine. So a worker, and a copy of the model, has several at least.
MAX_BLOCK_CLIPS, BLOCKS_A_WORKER, BLOCKS_IN_FLIGHT = 8, 8, 6
QUEUED_BLOCKS = 6  # with 2, a decoder of small clips waits for Ray's scheduler a third of its time
RETRIES = 6  # three for each clip that a worker dies of
COUNT_EVERY_S = 0.5
STEP_BACK = 10  # of niceness: a tenth of the time of a core that a decoder wants, too
RETRY_ADVICE = "\nFailed to apply UDF transform"  # Ray Data's, behind what a worker said


def size_cluster(decode: DecodeSettings, engine: EngineSettings) -> Pools:
    """The pools for the cluster that is joined; ValueError when they cannot run on it."""
    return size_pools(
        joined_machine(),
        decode_workers=decode.workers,
        caption_actors=1 if engine.actors == "auto" else engine.actors,
        gpus_per_actor=engine.gpus_per_actor,
        shares_cores=engine.computes_on_cpu,
    )


def check_translators(settings: TranslationSettings) -> None:
    """ValueError when they cannot run on the cluster that is joined: a graph would wait for room without an end."""
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


def ray_round(
    clips: Sequence[Clip], watcher: Watcher, stop: Stop, *, plan: WorkPlan, journal: Journal
) -> Iterator[Receipt]:
    """Decode and caption `clips` on the joined cluster; receipts come as clips are finished.

    After `stop` the rest comes back withheld, as do clips that workers of this run died with again and again, as the
    `journal` tells. Raises WorkerLost when a worker died more often than it is restarted, Refused when none can start,
    and OutputFailed when one could not commit; what was committed until then stays.
    """
    machine, told = joined_machine(), journal.last_words
    counter = start_counter(len(clips), journal)
    asked, retelling = 0.0, Retelling()
    dataset = _graph(clips, plan, _pools_that_fit(plan), counter)
    over = threading.Event()
    threading.Thread(target=pass_on, args=(stop, over, counter), daemon=True).start()
    try:
        for block in blocks_of(dataset):
            if time.monotonic() - asked >= COUNT_EVERY_S:
                asked = time.monotonic()
                watcher.on_decoded(ray.get(counter.total.remote()))
                retelling.hear(ray.get(counter.warned.remote()))
            yield from (Receipt(**row) for row in block.to_pylist())
    except RayError as error:
        with suppress(RayError):
            journal.follow(ray.get(counter.what_is_known.remote()))
        raise_what_ended(error, journal.last_words)
    finally:
        over.set()
        with suppress(RayError):
            retelling.hear(ray.get(counter.warned.remote()))
            watcher.on_spent(ray.get(counter.spents.remote()), machine)
            journal.follow(ray.get(counter.what_is_known.remote()))
        if journal.last_words != told:
            log.warning("a worker was replaced: %s", journal.last_words)
        retelling.close()
        ray.kill(counter)


def start_counter(clips: int, journal: Journal | None = None) -> ray.actor.ActorHandle:
    """On the driver's own node: the loss of another one must not take along what is known of all."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Counter).remote(clips, journal)


def _pools_that_fit(plan: WorkPlan) -> Pools:
    """`size_cluster`, with fewer copies of the model where the cluster has lost what some of them were to run on."""
    wanted = plan.engine.actors
    for actors in range(wanted, 0, -1):
        with suppress(ValueError):
            pools = size_cluster(plan.decode, replace(plan.engine, actors=actors))
            if actors < wanted:
                log.warning("the cluster has room for %d of %d copies of the model", actors, wanted)
            return pools
    return size_cluster(plan.decode, plan.engine)  # which says why there is room for none


def blocks_of(dataset: Dataset) -> Iterator[pa.Table]:
    """What a graph puts out, as it comes.

    `iter_batches` would also send its statistics of all blocks so far to an actor, every five seconds.
    """
    with at_level("ray.data", logging.CRITICAL):  # what fails is raised to us
        for bundle in dataset.iter_internal_ref_bundles():
            yield from ray.get(bundle.block_refs)


def raise_what_ended(error: RayError, last_words: str = "") -> NoReturn:
    """OutputFailed where a worker could not commit, Refused where it may not start, else WorkerLost with its words.

    Of one that died without any in `error` its `last_words` are told.
    """
    causes = list(_causes(error))[::-1]  # the innermost says most
    failed = [each for each in causes if isinstance(each, OSError) and each.errno in OUTPUT_ERRORS]
    if failed:
        raise OutputFailed(failed[0]) from error
    for refused in causes:
        if isinstance(refused, Refused):
            raise Refused(str(refused).partition(RETRY_ADVICE)[0]) from error
    said = next(filter(None, (str(cause).strip() for cause in causes)), repr(error))
    if last_words and isinstance(error, RayActorError):
        said = last_words
    raise WorkerLost(said.splitlines()[0]) from error


def pass_on(stop: Stop, over: threading.Event, counter: ray.actor.ActorHandle) -> None:
    """Tell a graph's counter that the run is to stop, unless the graph is over before."""
    while not over.is_set():
        if stop.asked.wait(COUNT_EVERY_S):
            with suppress(RayError):  # the graph may be over by now
                ray.get(counter.close.remote())
            return


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Ray wraps what a worker raised several times over; that comes last."""
    while error is not None:
        yield error
        error = getattr(error, "cause", None) or error.__cause__


def dataset_of(blocks: Sequence[pa.Table]) -> Dataset:
    """Without Ray Data's own bars and warnings between ours, and with the reasons that its workers give.

    The settings are this graph's alone: a session may be somebody's who has graphs of his own.
    """
    # Both ways to bound restarts are called deprecated; what follows them is not in any release yet.
    warnings.filterwarnings("ignore", message="`ray_remote_args", category=DeprecationWarning)
    warnings.filterwarnings("ignore", message="The minimum number of concurrent actors")  # of a run of a few clips
    dataset = ray.data.from_blocks(blocks)
    context = dataset.context
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True  # or the reason is lost on the way to us
    context.execution_no_progress_timeout_s = -1  # engine.stall_s watches; loading a model may take longer than Ray's
    return dataset


def _graph(clips: Sequence[Clip], plan: WorkPlan, pools: Pools, counter: ray.actor.ActorHandle) -> Dataset:
    size = block_clips(len(clips), pools.decode_workers, plan.engine.clips_in_flight)
    in_flight = math.ceil(plan.engine.clips_in_flight / size)
    decode_pool = ActorPoolStrategy(size=pools.decode_workers, max_tasks_in_flight_per_actor=QUEUED_BLOCKS)
    caption_pool = ActorPoolStrategy(
        size=pools.caption_actors,
        max_concurrent_calls_per_actor=in_flight + 1,  # one may only be waiting for a commit
        max_tasks_in_flight_per_actor=in_flight + 2,
    )
    # A batch is a block: None would say so too, but is refused where there are GPUs.
    common = {"batch_size": size, "batch_format": "pyarrow", "ray_remote_args_fn": bounded_retries}
    decoded = dataset_of(list(_blocks(clips, size))).map_batches(
        _Decode,
        fn_constructor_args=(plan, counter),
        compute=decode_pool,
        num_cpus=pools.decode_cpus,
        **common,
    )
    return decoded.map_batches(
        _Caption,
        fn_constructor_args=(plan, counter),
        compute=caption_pool,
        num_cpus=pools.caption_cpus,
        num_gpus=pools.gpus_per_actor,
        **common,
    )


def block_clips(clips: int, decode_workers: int, in_flight: int) -> int:
    """How many of a graph's clips go through it together."""
    return max(1, min(MAX_BLOCK_CLIPS, clips // (BLOCKS_A_WORKER * decode_workers), in_flight // BLOCKS_IN_FLIGHT))


def bounded_retries() -> dict[str, int]:
    """Ray's own defaults restart and retry for ever."""
    return {"max_restarts": RETRIES, "max_task_retries": RETRIES}


def _blocks(clips: Iterable[Clip], size: int) -> Iterator[pa.Table]:
    rest = iter(clips)
    while block := list(islice(rest, size)):
        yield pa.table({"clip": pa.array([pickle.dumps(clip) for clip in block], pa.binary())})


class _Decode:
    def __init__(self, plan: WorkPlan, counter: ray.actor.ActorHandle):
        end_with_raylet()
        self.counter, self.reporter = counter, Reporter(counter)
        self.opened = Opened(lambda: DecodeStage(plan))
        self.looked, self.is_closed = 0.0, False

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        stage = self.opened.stage
        clips = [pickle.loads(clip) for clip in block["clip"].to_pylist()]
        # One at a time: the frames of all of a block need not stand here in both forms.
        pickled = [pickle.dumps(None if self._is_closed() else stage.decode(clip), protocol=5) for clip in clips]
        self.counter.add.remote([clip.clip_id for clip in clips])
        self.reporter.report(stage.spent())
        yield block.append_column("frames", pa.array(pickled, pa.large_binary()))

    def _is_closed(self) -> bool:
        if time.monotonic() - self.looked >= COUNT_EVERY_S:
            self.is_closed, self.looked = ray.get(self.counter.is_closed.remote()), time.monotonic()
        return self.is_closed


def _note() -> Path:
    """Where this actor and those that take its place on this node note their crashes."""
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    return session / f"recap-{ray.get_runtime_context().get_actor_id()}"


def _step_back() -> None:
    """Let decoders go first, on cores that this process shares with them, until their frames are held back.

    Turns of milliseconds would leave the caches to neither.
    """
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, int(thread), os.getpriority(os.PRIO_PROCESS, int(thread)) + STEP_BACK)


class _Caption:
    def __init__(self, plan: WorkPlan, counter: ray.actor.ActorHandle):
        end_with_raylet()
        self.counter, self.reporter = counter, Reporter(counter)
        self.name = self.reporter.name  # of this process: another could overwrite a fragment
        if crashed := note_crashes(_note(), self.name):
            ray.get(counter.crashed.remote(crashed))
        copies = copies_a_node(plan.engine.actors)
        self.opened = Opened(lambda: CaptionStage(plan, self.name, copies=copies))
        if plan.engine.computes_on_cpu:
            _step_back()

    async def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        stage = self.opened.stage
        columns = (block[name].to_pylist() for name in ("clip", "frames"))
        decoded = [(pickle.loads(clip), pickle.loads(frames)) for clip, frames in zip(*columns, strict=True)]
        try:
            receipts = await stage.caption_beside(decoded, self)
        except EngineLost as error:
            await self._leave(error)
        await self.reporter.report(stage.spent())
        yield pa.Table.from_pylist([{"clip_id": it.clip_id, "status": it.status} for it in receipts])

    async def _leave(self, error: EngineLost) -> NoReturn:
        """As a crash would, but committed and without a core dump: the process that comes next may do better."""
        log.error("this process ends, and another takes its place: %s", error)
        await self.counter.crashed.remote(self.name, str(error))
        os._exit(1)

    async def admit(self, clip_ids: Sequence[str]) -> dict[str, Past] | None:
        return await self.counter.admit.remote(self.name, clip_ids)

    async def alone(self, clip_id: str | None) -> None:
        await self.counter.alone.remote(self.name, clip_id)

    async def is_last(self) -> bool:
        return await self.counter.is_complete.remote()

    async def is_closed(self) -> bool:
        return await self.counter.is_closed.remote()

    async def is_over(self, clip_ids: Sequence[str], done: Sequence[str]) -> bool:
        return await self.counter.is_over.remote(clip_ids, done)
