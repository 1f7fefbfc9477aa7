"""What every graph on Ray Data does alike: how it starts, hears of a stop, restarts its workers, and ends."""

from __future__ import annotations

import logging
import math
import pickle
import threading
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

import pyarrow as pa
import ray
from ray.data import Dataset
from ray.data._internal.execution.execution_callback import ExecutionCallback
from ray.exceptions import RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from recap.graph.coordinator import Coordinator
from recap.graph.journal import Journal
from recap.graph.opened import Refused
from recap.graph.stages import WorkerLost
from recap.graph.stopping import Stop
from recap.ledger import OUTPUT_ERRORS, OutputFailed
from recap.levels import at_level

if TYPE_CHECKING:
    from ray.data._internal.execution.streaming_executor import StreamingExecutor

ASK_EVERY_S = 0.5
ANSWER_S = 10.0  # where the head died none comes, and 20 s after that was noticed Ray ends this process
RETRIES, RETRIES_FOR = 6, 10_000  # three for each clip that a worker dies of, of so many clips
IDLE_S = 2.0  # what passes through a graph as withheld comes every moment
LEAVING_S = 10.0  # of a graph that ended well, they are off the list at once as a rule
RETRY_ADVICE = "\nFailed to apply UDF transform"  # Ray Data's, behind what a worker said


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
    context.target_max_block_size = 1  # each row goes on by itself
    context.custom_execution_callback_classes = [_Forgetting]
    return dataset


class _Forgetting(ExecutionCallback):
    """Drops the statistics of blocks that are over, 0.9 KB about each, which Ray Data keeps until its graph is."""

    def on_execution_step(self, executor: StreamingExecutor) -> None:
        for operator in executor._topology or ():
            getattr(operator, "_output_blocks_stats", []).clear()


def packed(clips: Sequence[Any]) -> bytes:
    """A row's clips, in a fifth of their room: those of all rows are held as long as a graph runs."""
    return zlib.compress(pickle.dumps(clips), 1)


def unpacked(row: bytes) -> list[Any]:
    """What was `packed`."""
    return pickle.loads(zlib.decompress(row))


class Workers:
    """The actors of one graph, none of which is left once the `with` block is over.

    Ray ends them when nothing refers to them any more. What is left of a graph that failed may refer to them until
    Python collects it, and those that stay keep their cores and GPUs from the next graph.
    """

    def __init__(self, stop: Stop, clips: int = 0) -> None:
        """Each has `clips` to do."""
        self._stop = stop
        self._names: set[str] = set()
        self.leaving_s = LEAVING_S
        self._restarts = RETRIES * math.ceil(max(1, clips) / RETRIES_FOR)

    def options(self) -> dict[str, Any]:
        """What Ray is to start the next one with; by itself it restarts and retries for ever."""
        self._names.add(name := f"recap-{uuid4().hex}")
        return {"name": name, "max_restarts": self._restarts, "max_task_retries": RETRIES}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if error is None:
            self._end(self.leaving_s)
        elif not self._stop.is_ray_lost:
            with suppress(RayError):
                self._end(0)

    def _end(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        while (left := self._names.intersection(ray.util.list_named_actors())) and time.monotonic() < deadline:
            time.sleep(0.05)
        for name in left:
            with suppress(ValueError):  # it went meanwhile
                ray.kill(ray.get_actor(name))


def blocks_of(dataset: Dataset) -> Iterator[pa.Table]:
    """What a graph puts out, as it comes.

    `iter_batches` would also send its statistics of all blocks so far to an actor, every five seconds.
    """
    with at_level("ray.data", logging.CRITICAL):  # what fails is raised to us
        for references in dataset.iter_internal_ref_bundles():
            yield from ray.get(references.block_refs)


def start_coordinator(clips: int, journal: Journal | None = None) -> ray.actor.ActorHandle:
    """On the driver's own node: the loss of another one must not take along what is known of all."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Coordinator).remote(clips, journal)


def in_time(*asked: ray.ObjectRef) -> list[Any]:
    """What a coordinator answers once its graph is over; RayError where it does not within `ANSWER_S`."""
    return ray.get(list(asked), timeout=ANSWER_S)


@contextmanager
def stoppable(stop: Stop, coordinator: ray.actor.ActorHandle) -> Iterator[None]:
    """Tell a graph's coordinator that the run is to stop, unless the graph is over before."""
    over = threading.Event()
    threading.Thread(target=_pass_on, args=(stop, over, coordinator), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _pass_on(stop: Stop, over: threading.Event, coordinator: ray.actor.ActorHandle) -> None:
    while not over.is_set():
        if stop.asked.wait(ASK_EVERY_S):
            with suppress(RayError):  # the graph may be over by now
                ray.get(coordinator.close.remote())
            return


@contextmanager
def ended_when_idle(stop: Stop, coordinator: ray.actor.ActorHandle) -> Iterator[threading.Event]:
    """What it gives is set once the run is to stop and nothing is at work any more; the graph is to be left then.

    Where it is not, as nothing comes of it that could tell (workers may be loading a model), its end is raised.
    """
    over, idle = threading.Event(), threading.Event()
    threading.Thread(target=_look, args=(stop, over, idle, coordinator), daemon=True).start()
    try:
        yield idle
    finally:
        over.set()


def _look(stop: Stop, over: threading.Event, idle: threading.Event, coordinator: ray.actor.ActorHandle) -> None:
    while not over.wait(ASK_EVERY_S):
        with suppress(RayError):
            if stop and ray.get(coordinator.is_idle.remote()):
                idle.set()
                if not over.wait(IDLE_S):
                    stop.end_idle()
                return


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


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Ray wraps what a worker raised several times over; that comes last."""
    while error is not None:
        yield error
        error = getattr(error, "cause", None) or error.__cause__
