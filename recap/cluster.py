"""The machines that a pipeline runs on: the cluster that `ray.address` names, else this one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from recap.graph.sizing import Machine, local_machine
from recap.graph.stopping import RayLost, endable
from recap.pipeline import Pipeline


@contextmanager
def joined(pipeline: Pipeline) -> Iterator[None]:
    """In the cluster where one is named; ValueError where it does not answer, or is too small for the pools.

    A session that was lost inside is left at the end: Ray may end the process as it does so.
    """
    try:
        with _cluster(pipeline):
            yield
    except RayLost:
        from recap.graph.session import leave_session

        leave_session()
        raise


@contextmanager
def _cluster(pipeline: Pipeline) -> Iterator[None]:
    if pipeline.ray.address is None:
        yield
        return
    from recap.graph.joined import check_translators, size_cluster
    from recap.graph.session import ray_session

    with ray_session(pipeline.ray.address):
        size_cluster(pipeline.decode, pipeline.engine)
        check_translators(pipeline.translation)
        yield


def machine_of(pipeline: Pipeline) -> Machine:
    """What there is to compute with, all nodes together; a cluster is joined by now."""
    if pipeline.ray.address is None:
        return local_machine(pipeline.engine.gpus_per_actor)
    from recap.graph.joined import joined_machine

    return joined_machine()


@contextmanager
def executor_of(pipeline: Pipeline) -> Iterator[Executor | None]:
    """The joined cluster; None where none is named. Ends with RayLost when Ray is lost inside."""
    if pipeline.ray.address is None:
        yield None
        return
    from recap.graph.tasks import ClusterTasks
    from recap.graph.watched import watched_ray

    with ClusterTasks() as tasks, endable() as end, watched_ray(end):
        yield tasks
