"""The graph on Ray Data: thin actors over the two stages."""

from __future__ import annotations

import logging
import os
import pickle
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from uuid import uuid4

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.exceptions import RayError

from recap.engines import EngineSettings
from recap.graph.plan import WorkPlan
from recap.graph.sizing import Pools, local_resources, size_pools
from recap.graph.stages import CaptionStage, DecodeStage, Receipt, WorkerLost
from recap.graph.stopping import Stop
from recap.ledger import OUTPUT_ERRORS, OutputFailed
from recap.records import Clip
from recap.video import DecodeSettings

MAX_BLOCK_CLIPS = 4  # more would hold frames back from an idle engine
QUEUED_BLOCKS = 6  # with 2, a decoder of small clips waits for Ray's scheduler a third of its time
RETRIES = 2
COUNT_EVERY_S = 0.5


@contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Join the cluster at `address`, or start a local session; leave things as they were found.

    Raises ValueError when no cluster answers there.
    """
    if ray.is_initialized():
        yield
        return
    local = {} if address else {"num_cpus": local_resources(0)[0], "include_dashboard": False}
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what fails is raised to us
    if not address:  # its C++ half reports routine events as errors on our stderr
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    _require_cluster(address)
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **local)
    except ConnectionError as error:
        hint = "a cluster with tokens wants RAY_AUTH_MODE=token and its RAY_AUTH_TOKEN in the environment"
        raise ValueError(f"ray.address: {address} cannot be joined: {error} ({hint})") from None
    try:
        yield
    finally:
        ray.shutdown()


def _require_cluster(address: str | None) -> None:
    """Ray itself would go on knocking at a closed door for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").partition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise ValueError(f"ray.address: nothing answers at {address} ({error}); start the cluster first") from None


def size_cluster(decode: DecodeSettings, engine: EngineSettings) -> Pools:
    """The pools for the cluster that is joined; ValueError when they cannot run on it."""
    have = ray.cluster_resources()
    return size_pools(
        have.get("CPU", 0),
        have.get("GPU", 0),
        decode_workers=decode.workers,
        caption_actors=engine.actors,
        gpus_per_actor=engine.gpus_per_actor,
    )


def ray_round(
    clips: Sequence[Clip], on_decoded: Callable[[int], None], stop: Stop, *, plan: WorkPlan
) -> Iterator[Receipt]:
    """Decode and caption `clips` on the joined cluster; receipts come as clips are finished.

    `on_decoded` is told how many clips have been decoded so far. After `stop` the rest comes back
    withheld. Raises WorkerLost when a worker died more often than it is restarted, and OutputFailed when
    it could not commit; what was committed until then stays.
    """
    counter = ray.remote(num_cpus=0)(_Counter).remote(len(clips))
    asked = 0.0
    dataset = _graph(clips, plan, size_cluster(plan.decode, plan.engine), counter)
    over = threading.Event()
    threading.Thread(target=_pass_on, args=(stop, over, counter), daemon=True).start()
    try:
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            if time.monotonic() - asked >= COUNT_EVERY_S:
                asked = time.monotonic()
                on_decoded(ray.get(counter.total.remote()))
            yield from (Receipt(**row) for row in batch.to_pylist())
    except RayError as error:
        _raise_output_failed(error)
        raise WorkerLost(str(error).strip().splitlines()[-1]) from error
    finally:
        over.set()
        ray.kill(counter)


def _pass_on(stop: Stop, over: threading.Event, counter: ray.actor.ActorHandle) -> None:
    while not over.is_set():
        if stop.asked.wait(COUNT_EVERY_S):
            with suppress(RayError):  # the graph may be over by now
                ray.get(counter.close.remote())
            return


def _raise_output_failed(error: BaseException | None) -> None:
    """Ray wraps what a worker raised several times over."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in OUTPUT_ERRORS:
            raise OutputFailed(error) from error
        error = getattr(error, "cause", None) or error.__cause__


def _graph(clips: Sequence[Clip], plan: WorkPlan, pools: Pools, counter: ray.actor.ActorHandle) -> Dataset:
    # Both ways to bound restarts are called deprecated; what follows them is not in any release yet.
    warnings.filterwarnings("ignore", message="`ray_remote_args", category=DeprecationWarning)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    in_flight = plan.engine.in_flight
    decode_pool = ActorPoolStrategy(size=pools.decode_workers, max_tasks_in_flight_per_actor=QUEUED_BLOCKS)
    caption_pool = ActorPoolStrategy(
        size=pools.caption_actors,
        max_concurrent_calls_per_actor=in_flight + 1,  # one may only be waiting for a commit
        max_tasks_in_flight_per_actor=in_flight + 2,
    )
    common = {"batch_size": None, "batch_format": "pyarrow", "ray_remote_args_fn": _bounded_retries}
    decoded = ray.data.from_blocks(list(_blocks(clips, pools))).map_batches(
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


def _bounded_retries() -> dict[str, int]:
    """Ray's own defaults restart and retry for ever."""
    return {"max_restarts": RETRIES, "max_task_retries": RETRIES}


def _blocks(clips: Iterable[Clip], pools: Pools) -> Iterator[pa.Table]:
    clips = list(clips)
    size = max(1, min(MAX_BLOCK_CLIPS, len(clips) // (4 * pools.decode_workers)))
    rest = iter(clips)
    while block := list(islice(rest, size)):
        yield pa.table({"clip": pa.array([pickle.dumps(clip) for clip in block], pa.binary())})


class _Counter:
    """How many of a graph's clips have been decoded, and whether it is to stop."""

    def __init__(self, clips: int):
        self.clips, self.count, self.closed = clips, 0, False

    def close(self) -> None:
        self.closed = True

    def is_closed(self) -> bool:
        return self.closed

    def add(self, number: int) -> None:
        self.count += number

    def total(self) -> int:
        return self.count

    def is_complete(self) -> bool:
        return self.count >= self.clips


class _Decode:
    def __init__(self, plan: WorkPlan, counter: ray.actor.ActorHandle):
        self.stage, self.counter = DecodeStage(plan), counter

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        is_closed = ray.get(self.counter.is_closed.remote())
        clips = block["clip"].to_pylist()
        frames = [None if is_closed else self.stage.decode(pickle.loads(clip)) for clip in clips]
        self.counter.add.remote(len(frames))
        pickled = [pickle.dumps(each, protocol=5) for each in frames]
        yield block.append_column("frames", pa.array(pickled, pa.large_binary()))


class _Caption:
    def __init__(self, plan: WorkPlan, counter: ray.actor.ActorHandle):
        self.counter = counter
        # An actor that Ray restarts keeps its id: only a fresh name cannot overwrite a fragment.
        self.stage = CaptionStage(plan, uuid4().hex)

    async def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        columns = (block[name].to_pylist() for name in ("clip", "frames"))
        decoded = [(pickle.loads(clip), pickle.loads(frames)) for clip, frames in zip(*columns, strict=True)]
        receipts = await self.stage.caption_beside(decoded, self)
        yield pa.Table.from_pylist([{"clip_id": it.clip_id, "status": it.status} for it in receipts])

    async def is_last(self) -> bool:
        return await self.counter.is_complete.remote()

    async def is_closed(self) -> bool:
        return await self.counter.is_closed.remote()
