"""Functions on the cluster: what they return and raise, and how many run at a time."""

from __future__ import annotations

import logging
import os
import signal
import time

import pytest

from recap.cluster import executor_of
from recap.graph import head
from recap.graph.stopping import RayLost
from recap.graph.tasks import ClusterTasks

pytestmark = [pytest.mark.ray, pytest.mark.timeout(60)]


def divide(a, b):
    return a / b


def test_what_is_returned_and_raised_comes_back(ray_session):
    with ClusterTasks() as tasks:
        futures = [tasks.submit(divide, 6, number) for number in (3, 0, 2)]
        assert (futures[0].result(), futures[2].result()) == (2, 3)
        with pytest.raises(ZeroDivisionError):
            futures[1].result()


def test_a_cluster_that_is_named_writes_the_shards(ray_session, rehearsal):
    with executor_of(rehearsal("ray.address=auto")) as executor:
        assert isinstance(executor, ClusterTasks)
    with executor_of(rehearsal()) as executor:
        assert executor is None


def test_a_head_that_goes_meanwhile_is_said_and_ends_it(ray_session, rehearsal, monkeypatch, caplog):
    answers = iter([True])
    monkeypatch.setattr(head, "answers", lambda address: next(answers, False))
    monkeypatch.setattr(head, "EVERY_S", 0.05)
    monkeypatch.setattr(head, "PATIENCE_S", 0.1)
    with pytest.raises(RayLost), executor_of(rehearsal("ray.address=auto")) as executor:
        asleep = executor.submit(time.sleep, 20)  # it is left to end by itself
        asleep.result()
    assert "the head of the Ray cluster does not answer any more" in caplog.text
    assert not asleep.done(), "it was cancelled, for which nobody may be there"


def test_submit_waits_while_all_cores_have_a_call(ray_session, monkeypatch):
    monkeypatch.setattr("recap.graph.tasks.AT_ONCE", 1)
    tasks = ClusterTasks()
    started = [time.monotonic()]
    for _ in range(2):
        tasks.submit(time.sleep, 0.5)
        started.append(time.monotonic())
    assert started[2] - started[0] >= 0.5


def warn(number):
    logging.getLogger("recap.tests").warning("clip %d is odd", number)


def test_what_a_call_warns_of_is_said_once_and_counted(ray_session, caplog):
    with ClusterTasks() as tasks:
        for future in [tasks.submit(warn, 7) for _ in range(3)]:
            future.result()
    assert [record.getMessage() for record in caplog.records] == [
        "a worker: clip 7 is odd",
        "of this kind workers gave 3 warnings: clip 7 is odd",
    ]


def write_for_ever(path):
    while True:
        path.touch()
        time.sleep(0.05)


def write_deaf_for_ever(path):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as workers have it where a script starts recap with `&`
    write_for_ever(path)


def write_hearing_for_ever(path):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    write_for_ever(path)


@pytest.mark.parametrize("write", [write_hearing_for_ever, write_deaf_for_ever])
def test_what_still_runs_at_the_end_is_cancelled(ray_session, tmp_path, caplog, monkeypatch, wait_for, write):
    monkeypatch.setattr("recap.graph.tasks.CANCELLED_S", 2.0)
    with ClusterTasks() as tasks:
        future = tasks.submit(write, tmp_path / "shard")
        wait_for((tmp_path / "shard").exists)
    wait_for(future.done)
    (tmp_path / "shard").unlink()
    time.sleep(0.5)
    assert not (tmp_path / "shard").exists() and future.cancelled() and not caplog.records


def dies(folder, times):
    (folder / str(os.getpid())).touch()
    if len(list(folder.iterdir())) <= times:
        os._exit(1)
    return "done"


@pytest.mark.parametrize(("times", "answer"), [(1, "done"), (99, "died unexpectedly")])
def test_a_call_whose_worker_dies_is_made_again_and_not_for_ever(ray_session, tmp_path, times, answer):
    with ClusterTasks() as tasks:
        future = tasks.submit(dies, tmp_path, times)
        assert answer in (future.result() if times == 1 else str(future.exception()))


def test_a_cluster_without_a_free_core_answers_too(ray_session):
    class Holder:
        def hold(self):
            return "held"

    holder = ray_session.remote(Holder).options(num_cpus=ray_session.cluster_resources()["CPU"]).remote()
    try:
        assert ray_session.get(holder.hold.remote(), timeout=50) == "held"
        with ClusterTasks() as tasks:
            assert tasks.submit(divide, 4, 2).result(timeout=30) == 2
    finally:
        ray_session.kill(holder)
