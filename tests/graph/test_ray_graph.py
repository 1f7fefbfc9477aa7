"""The graph on a real Ray: the same bytes as the plain loop, whatever dies."""

from __future__ import annotations

import faulthandler
import gc
import logging
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import psutil
import pyarrow as pa
import pytest
import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.data._internal.execution.execution_callback import ExecutionCallback
from ray.exceptions import ActorDiedError, RayActorError, RayError

from recap import jobs
from recap.graph import dealing, ray_graph, ray_translation
from recap.graph.opened import NotOpened, Opened, Refused
from recap.graph.ray_data import RETRIES, Workers, blocks_of, dataset_of, ended_when_idle, packed, raise_what_ended
from recap.graph.stages import WorkerLost
from recap.graph.stopping import GraceOver, RayLost, Stop, stopping
from recap.pipeline import load_pipeline
from recap.report.progress import Progress

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]


@pytest.fixture
def rehearsal(tmp_path, home, monkeypatch):
    """A function that makes the pipeline of an output; its 21 clips go through a graph in bundles of two."""
    monkeypatch.setattr(dealing, "BUNDLES_A_WORKER", 2)
    path = tmp_path / "pipeline.yaml"
    path.write_text(
        f"corpus: {{path: {home / 'pipelines/demo/clips/shapes'}}}\n"
        "engine: {kind: rehearsal, max_new_tokens: 12, batch_size: 4, in_flight: 12}\n"
        "output: {path: unset, rows_per_shard: 8, commit_every_s: 0.2}\n"
    )
    return lambda name, *overrides: load_pipeline(path, [f"output.path={tmp_path / name}", *overrides])


@pytest.fixture
def whole(rehearsal, tmp_path, deliverable):
    """What an uninterrupted run in one process delivers."""
    jobs.run(rehearsal("whole"), runner="loop")
    return deliverable(tmp_path / "whole")


class KillsOnce(Progress):
    """Kills the worker whose process title holds `title`: a decoder at its first clip, a captioner after it."""

    def __init__(self, title: str):
        super().__init__()
        self.title, self.killed, self.orphans = title, [], []

    def start(self, total: int, done: Mapping[str, int]) -> None:
        super().start(total, done)
        if "Decode" in self.title and not self.killed:  # a pool is gone soon after its last clip
            threading.Thread(target=self._hunt, daemon=True).start()

    def add(self, status: str) -> None:
        super().add(status)
        if not self.killed and "Decode" not in self.title:
            self._kill()

    def _hunt(self) -> None:
        deadline = time.monotonic() + 60
        while not self.killed and time.monotonic() < deadline:
            time.sleep(0.01)
            if any(map(children, worker_pids(self.title))):
                self._kill()

    def _kill(self) -> None:
        self.killed = worker_pids(self.title)
        orphans = [child for pid in self.killed for child in children(pid)]
        for pid in self.killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _, self.orphans = psutil.wait_procs(orphans, timeout=20)


def no_worker_is_left() -> bool:
    return not worker_pids("_Caption") and not worker_pids("_Decode")


def worker_pids(title: str) -> list[int]:
    """This session's Ray workers whose process title holds `title`."""
    return [child.pid for child in children(os.getpid(), recursive=True) if title in command_line(child)]


def children(pid: int, recursive: bool = False) -> list[psutil.Process]:
    """None of a process that has ended."""
    with suppress(psutil.Error):
        return psutil.Process(pid).children(recursive)
    return []


def command_line(process: psutil.Process) -> str:
    """Empty for a process that has ended."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


@pytest.fixture(autouse=True)
def dump_when_stuck():
    faulthandler.dump_traceback_later(110, exit=False)
    yield
    faulthandler.cancel_dump_traceback_later()


def test_the_graph_delivers_the_bytes_of_the_loop(ray_session, rehearsal, whole, tmp_path, deliverable):
    summary = jobs.run(rehearsal("ray"), runner="ray")
    assert (summary.captioned, summary.complete) == (21, True)
    assert deliverable(tmp_path / "ray") == whole


class Loses(Progress):
    """Has `on_lost` called as soon as a clip is captioned or translated, and again while the graph is left."""

    def add(self, status: str) -> None:
        super().add(status)
        self._lose()

    def add_translated(self, clips: int) -> None:
        super().add_translated(clips)
        self._lose()

    def _lose(self) -> None:
        for delay in (0, 0.002, 0.02, 0.1):
            threading.Timer(delay, self.on_lost[0]).start()


@pytest.mark.parametrize("graph", [ray_graph, ray_translation])
def test_a_lost_ray_is_asked_nothing_and_the_lease_is_given_back_before_it_is_left(
    ray_session, rehearsal, tmp_path, monkeypatch, wait_for, graph
):
    loses, leases, translating = Loses(), [], "translation={languages: [zh], engine: rehearsal}"
    loses.on_lost = []

    @contextmanager
    def watched_raylet(on_lost):
        loses.on_lost = [on_lost]
        yield

    if graph is ray_translation:
        jobs.run(rehearsal("lost"), runner="loop")
    lease = tmp_path / "lost/lease.json"
    monkeypatch.setattr("recap.graph.watched.watched_raylet", watched_raylet)
    monkeypatch.setattr("recap.graph.session.leave_session", lambda: leases.append(lease.exists()))
    monkeypatch.setattr(graph, "in_time", lambda *asked: pytest.fail("Ray was asked"))
    with pytest.raises(RayLost):
        jobs.run(rehearsal("lost", translating), runner="ray", progress=loses)
    assert leases == [False]
    monkeypatch.undo()
    gc.collect()  # actors of a graph that broke off are referred to until then
    wait_for(no_worker_is_left)
    assert jobs.run(rehearsal("lost", translating), runner="loop").complete


@pytest.mark.parametrize("title", ["MapBatches(_Caption)", "MapBatches(_Decode)"])
def test_a_killed_worker_changes_nothing(ray_session, rehearsal, whole, tmp_path, title, deliverable, caplog, wait_for):
    progress = KillsOnce(title)
    summary = jobs.run(rehearsal("killed"), runner="ray", progress=progress)
    assert progress.killed, "no worker was found to kill"
    assert not progress.orphans, "a decoder outlived its worker"
    assert summary.complete
    assert deliverable(tmp_path / "killed") == whole
    assert "a worker: a process died, and this one took its place" in caplog.messages
    wait_for(no_worker_is_left)


@pytest.fixture
def spans(home, tmp_path):
    """A function that makes a manifest of so many spans of one clip; returns the settings to caption them."""

    def make(count: int) -> tuple[str, ...]:
        rows = [f"{number % 400 / 1000},{0.8 + number // 400 / 1000}" for number in range(count)]
        (clip, *_) = (home / "pipelines/demo/clips/shapes").iterdir()
        (tmp_path / "spans.csv").write_text("path,start,end\n" + "".join(f"{clip},{row}\n" for row in rows))
        where = ("corpus.kind=manifest", f"corpus.path={tmp_path}/spans.csv", "corpus.root=/")
        return (*where, "corpus.start_column=start", "corpus.end_column=end", "frames.count=2")

    return make


class StopsAtOnce(Progress):
    def add(self, status: str) -> None:
        super().add(status)
        os.kill(os.getpid(), signal.SIGTERM)
        self.add = super().add


def test_a_stopped_graph_ends_once_nothing_is_at_work_however_many_clips_are_left(
    ray_session, rehearsal, spans, monkeypatch, caplog, wait_for
):
    receipts, ray_round = [], ray_graph.ray_round
    monkeypatch.setattr(
        ray_graph, "ray_round", lambda *args, **how: (receipts.append(each) or each for each in ray_round(*args, **how))
    )
    summary = jobs.run(rehearsal("stopped", *spans(8000)), progress=StopsAtOnce())
    assert summary.stopped_by == signal.SIGTERM
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert summary.captioned and len(receipts) < 6000
    wait_for(no_worker_is_left)


class SpendsAll(Progress):
    """Its run's budget is used up with the first caption."""

    @contextmanager
    def stopping(self, grace_s: float, budget_s: float | None) -> Iterator[Stop]:
        with stopping(grace_s, budget_s) as self.stop:
            yield self.stop

    def add(self, status: str) -> None:
        super().add(status)
        self.stop._spend()


def test_a_budget_that_is_used_up_while_captioning_stops_the_graph_in_order_and_the_next_run_goes_on(
    ray_session, rehearsal, spans, tmp_path, deliverable, monkeypatch, caplog
):
    some, progress = spans(300), SpendsAll()
    jobs.run(rehearsal("whole", *some), runner="loop")
    with monkeypatch.context() as patch:
        patch.setattr("recap.work.stopping", progress.stopping)
        stopped = jobs.run(rehearsal("stopped", *some), progress=progress)
    assert stopped.is_over_budget and stopped.stopped_by is None and not stopped.complete
    assert stopped.captioned and stopped.remaining and stopped.captioned + stopped.remaining == 300
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert jobs.run(rehearsal("stopped", *some)).complete
    assert deliverable(tmp_path / "stopped") == deliverable(tmp_path / "whole")


class Nothing:
    def is_idle(self) -> bool:
        return True


def test_a_stopped_graph_of_which_nothing_comes_is_ended_too(ray_session):
    coordinator = ray_session.remote(num_cpus=0)(Nothing).remote()
    began = time.monotonic()
    with (
        stopping(grace_s=60) as stop,
        pytest.raises(GraceOver),
        stop.interruptible(),
        ended_when_idle(stop, coordinator) as idle,
    ):
        assert not idle.wait(1.0), "nobody asked for a stop"
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(40)
    assert stop.is_idle and idle.is_set() and time.monotonic() - began < 30
    ray_session.kill(coordinator)


class Priorities(Progress):
    """The niceness of the workers' threads while the first caption comes in, by their processes' title."""

    def __init__(self):
        super().__init__()
        self.of: dict[str, set[int]] = {}

    def add(self, status: str) -> None:
        super().add(status)
        for title in () if self.of else ("Coordinator", "_Caption"):  # decoders may be gone
            threads = [thread for pid in worker_pids(title) for thread in os.listdir(f"/proc/{pid}/task")]
            self.of[title] = {os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in threads}


def test_a_model_steps_back_behind_other_workers_on_the_cores_that_it_shares_with_them(
    ray_session, rehearsal, home, wait_for
):
    random = f"model.checkpoint={home / 'pipelines/demo/random-pllava'}"
    wait_for(no_worker_is_left)
    progress = Priorities()
    jobs.run(rehearsal("shared", "engine.kind=transformers", random), limit=8, progress=progress)
    usual, stepped_back = progress.of.values()
    assert stepped_back == {min(19, niceness + ray_graph.STEP_BACK) for niceness in usual}
    assert max(usual) == os.getpriority(os.PRIO_PROCESS, 0) + 5, "of Ray's own 15 there is hardly room to step back"


def test_a_model_may_take_as_long_to_load_as_it_likes(ray_session, rehearsal, monkeypatch):
    """Ray Data gives a graph half an hour for its next block; here less than an actor takes to start."""
    monkeypatch.setattr(DataContext.get_current(), "execution_no_progress_timeout_s", 0.1)
    assert jobs.run(rehearsal("slow"), limit=2).captioned == 2


def test_a_session_keeps_what_it_set_for_graphs_of_its_own(ray_session, rehearsal, monkeypatch):
    context, logger = DataContext.get_current(), logging.getLogger("ray.data")
    monkeypatch.setattr(context, "enable_progress_bars", True)
    before = vars(context).copy(), logger.level
    assert jobs.run(rehearsal("guest"), limit=1).captioned == 1
    assert (vars(context), logger.level) == before
    ours = dataset_of([pa.table({"n": [1]})]).map_batches(lambda batch: batch)
    assert not ours.context.enable_progress_bars


def test_why_no_worker_can_start_is_said_and_the_run_ends(ray_session, rehearsal, monkeypatch, wait_for):
    monkeypatch.setattr("recap.planning._local_problems", lambda _: [])  # as on a cluster
    with pytest.raises(ValueError, match=r"^decode\.hardware: NVDEC .* setting out \(.*\)$"):
        jobs.run(rehearsal("chip", "decode.hardware=nvdec", "decode.sandbox=false"))
    wait_for(no_worker_is_left)


class Stays:
    def answer(self):
        return "here"


@pytest.mark.parametrize(("error", "patience_s"), [(None, 0.2), (RayError("lost"), 100), (GraceOver(), 100)])
def test_actors_that_something_still_refers_to_end_with_their_graph(
    ray_session, monkeypatch, wait_for, error, patience_s
):
    monkeypatch.setattr("recap.graph.ray_data.LEAVING_S", patience_s)
    with suppress(RayError, GraceOver), Workers(Stop(25)) as workers:
        actor = ray_session.remote(num_cpus=0, **workers.options())(Stays).remote()
        assert answers(actor)
        if error:
            raise error
    wait_for(lambda: not answers(actor))


def test_a_worker_with_more_clips_to_do_may_die_more_often():
    restarts = [Workers(Stop(25), clips).options()["max_restarts"] for clips in (0, 10_000, 10_001, 50_000)]
    assert restarts == [RETRIES, RETRIES, 2 * RETRIES, 5 * RETRIES]


def answers(actor: ray.actor.ActorHandle) -> bool:
    with suppress(RayActorError):
        return ray.get(actor.answer.remote(), timeout=30) == "here"
    return False


def test_the_innermost_words_are_a_lost_workers():
    causes = RayError("outer"), ValueError("what it was"), SystemError()
    for outer, inner in pairwise(causes):
        outer.__cause__ = inner
    for last_words in ("", "of another"):
        with pytest.raises(WorkerLost, match=r"^what it was$"):
            raise_what_ended(causes[0], last_words)


def test_a_worker_that_could_not_answer_any_more_has_its_last_words_told():
    with pytest.raises(WorkerLost, match=r"^CUDA error$"):
        raise_what_ended(ActorDiedError(), "CUDA error")


def test_a_coordinator_that_does_not_answer_holds_up_no_end(ray_session, monkeypatch):
    class Silent:
        def what_is_known(self):
            time.sleep(60)

    monkeypatch.setattr("recap.graph.ray_data.ANSWER_S", 0.5)
    silent, began = ray.remote(num_cpus=0)(Silent).remote(), time.monotonic()
    assert ray_translation._last_words(silent) == "" and time.monotonic() - began < 30
    ray.kill(silent)


def test_what_fails_at_its_start_is_kept_for_the_first_call():
    assert Opened(lambda: 7).stage == 7
    for error, kept in ((ValueError("mend it"), Refused), (KeyError("odd"), NotOpened), (OSError(28, "full"), OSError)):
        opened = Opened(partial(_raise, error))
        for _ in range(2):
            with pytest.raises(kept, match=r"mend it|odd|full"):
                opened.stage  # noqa: B018


def _raise(error):
    raise error


def test_reading_a_graph_sends_no_statistics_of_its_blocks(ray_session, monkeypatch):
    sent = []
    manager = "ray.data._internal.stats._StatsManager.update_iteration_metrics"
    monkeypatch.setattr(manager, lambda *args: sent.append(args))
    dataset = ray.data.from_blocks([pa.table({"id": [number]}) for number in range(5)])
    assert sorted(row["id"] for block in blocks_of(dataset) for row in block.to_pylist()) == list(range(5))
    assert not sent
    assert list(dataset.iter_batches()) and sent, "Ray Data's own way no longer does: blocks_of can go"


class Same:
    def __call__(self, row: pa.Table) -> Iterator[pa.Table]:
        yield from (row.slice(0, 1) for _ in range(3))


def test_what_a_graph_keeps_of_a_block_does_not_grow_while_it_runs(ray_session):
    kept: dict[bool, list[int]] = {}
    for forgets in (True, False):
        dataset = dataset_of([pa.table({"id": [number]}) for number in range(30)])
        if not forgets:
            dataset.context.custom_execution_callback_classes = []
        pool = {"compute": ActorPoolStrategy(size=1), "num_cpus": 0.1, "batch_size": 1, "batch_format": "pyarrow"}
        dataset = dataset.map_batches(Same, **pool)
        dataset.context.custom_execution_callback_classes.insert(0, Looks)
        Looks.kept = kept[forgets] = []
        assert sorted(row["id"] for block in blocks_of(dataset) for row in block.to_pylist()) == sorted(
            3 * [*range(30)]
        )
    assert max(kept[True]) < 45
    assert max(kept[False]) == 90, "Ray Data keeps nothing by itself: _Forgetting can go"


class Looks(ExecutionCallback):
    kept: list[int]

    def on_execution_step(self, executor) -> None:
        self.kept += [len(getattr(operator, "_output_blocks_stats", ())) for operator in executor._topology]


def test_what_does_not_fit_is_refused_before_it_hangs(ray_session, rehearsal, tmp_path):
    with pytest.raises(ValueError, match=r"decode\.workers"):
        jobs.run(rehearsal("big", "decode.workers=500"), runner="ray")
    assert not (tmp_path / "big").exists()


def test_a_single_clip_runs_without_a_warning(ray_session, rehearsal, tmp_path, recwarn):
    summary = jobs.run(rehearsal("one", "engine.actors=2", "decode.workers=2"), limit=1, runner="ray")
    assert summary.captioned == 1 and not [each for each in recwarn if each.category is UserWarning]


def test_a_cluster_that_does_not_answer_is_refused_before_anything_is_written(tmp_path, home):
    pipeline = tmp_path / "p.yaml"
    clips = home / "pipelines/demo/clips/shapes"
    pipeline.write_text(f"corpus: {{path: {clips}}}\nengine: {{kind: rehearsal}}\noutput: {{path: {tmp_path}/out}}\n")
    recap = Path(sys.executable).with_name("recap")
    result = subprocess.run([recap, "run", pipeline, "ray.address=127.0.0.1:9"], capture_output=True, text=True)
    assert result.returncode == 2 and "nothing answers at 127.0.0.1:9" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_block_that_is_being_read_breaks_off_when_the_run_is_to_stop(monkeypatch):
    decoder, read, written = object.__new__(ray_graph._Decode), [], SimpleNamespace(remote=lambda _: None)
    closed = SimpleNamespace(remote=lambda: len(read) > 1)
    decoder.coordinator, decoder.reporter = SimpleNamespace(is_closed=closed, add=written), MagicMock()
    decoder.opened, decoder.looked = SimpleNamespace(stage=SimpleNamespace(decode=read.append, spent=dict)), 0.0
    decoder.size = 4
    monkeypatch.setattr(ray_graph.ray, "get", lambda answer: answer)
    monkeypatch.setattr(ray_graph, "ASK_EVERY_S", 0)
    clips = [SimpleNamespace(clip_id=str(number)) for number in range(7)]
    frames = [row["frames"] for rows in decoder(pa.table({"clips": [packed(clips)]})) for row in rows.to_pylist()]
    assert ([*map(len, frames)], len(read)) == ([4, 3], 2)
    assert {pickle.loads(each) for bundle in frames for each in bundle} == {None}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "overrides",
    [
        ("engine.in_flight=1", "engine.batch_size=1"),
        ("engine.actors=2", "decode.workers=3", "engine.in_flight=2"),
        ("decode.workers=4", "engine.in_flight=64", "engine.batch_size=64"),
        ("engine.actors=3", "decode.workers=1", "output.commit_every_s=60"),
    ],
    ids=" ".join,
)
def test_no_settings_make_two_cores_stand_still(ray_session, rehearsal, whole, tmp_path, overrides, deliverable):
    assert jobs.run(rehearsal("out", *overrides), runner="ray").complete
    assert deliverable(tmp_path / "out") == whole


def test_copies_of_the_model_are_given_their_share(ray_session, rehearsal, monkeypatch):
    asked = []

    def noted(**how):
        asked.append(how)
        return ActorPoolStrategy(**how)

    monkeypatch.setattr("recap.graph.ray_graph.ActorPoolStrategy", noted)
    assert jobs.run(rehearsal("out", "engine.actors=2"), runner="ray").complete
    (captions,) = [how for how in asked if how["size"] == 2 and "max_concurrent_calls_per_actor" in how]
    half = math.ceil(21 / 2 / 2)  # of 21 clips, in bundles of two
    assert captions["max_concurrent_calls_per_actor"] == captions["max_tasks_in_flight_per_actor"] == half
