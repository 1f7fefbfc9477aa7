"""Functions on the cluster: what they return and raise, and how many run at a time."""

from __future__ import annotations

import errno
import os
import time

import pytest

from recap.cluster import executor_of
from recap.graph.stopping import RayLost
from recap.graph.tasks import ClusterTasks

pytestmark = [pytest.mark.ray, pytest.mark.timeout(60)]


def divide(a, b):
    if b == 0:
        raise OSError(errno.ENOSPC, "No space left on device")
    return a / b


def test_what_is_returned_and_raised_comes_back_as_it_was(ray_session):
    tasks = ClusterTasks()
    futures = [tasks.submit(divide, 6, number) for number in (3, 0, 2)]
    assert (futures[0].result(), futures[2].result()) == (2, 3)
    with pytest.raises(OSError) as raised:
        futures[1].result()
    assert type(raised.value) is OSError and raised.value.errno == errno.ENOSPC


def test_a_cluster_that_is_named_writes_the_shards(ray_session, rehearsal):
    assert isinstance(executor_of(rehearsal("ray.address=auto")), ClusterTasks)
    assert executor_of(rehearsal()) is None


def test_submit_waits_while_all_cores_have_a_call(ray_session, monkeypatch):
    monkeypatch.setattr("recap.graph.tasks.AT_ONCE", 1)
    tasks = ClusterTasks()
    started = [time.monotonic()]
    for _ in range(2):
        tasks.submit(time.sleep, 0.5)
        started.append(time.monotonic())
    assert started[2] - started[0] >= 0.5


def test_a_call_that_no_worker_survives_ends_the_run(ray_session, caplog):
    with pytest.raises(RayLost):
        ClusterTasks().submit(os._exit, 1).result()
    assert "run the same command again" in caplog.text
