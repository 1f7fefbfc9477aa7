from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from recap.graph import noting
from recap.graph.noting import crashed_on, earlier_crash
from recap.graph.ray_data import start_coordinator

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]
CRASH, KILL = 11, 9


class Worker:
    """Knows how the process before it ended, and ends as it is told to."""

    def __init__(self, coordinator):
        self.name = str(os.getpid())
        self.earlier = earlier_crash(coordinator, self.name)

    def tell(self) -> tuple[str | None, str]:
        return self.earlier, self.name

    def end(self, number: int) -> None:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", (CRASH, KILL))
def test_a_process_learns_whether_the_one_before_it_crashed(ray_session, number):
    coordinator = start_coordinator(1)
    worker = ray_session.remote(num_cpus=0, max_restarts=-1)(Worker).remote(coordinator)
    try:
        earlier, first = ray_session.get(worker.tell.remote())
        assert earlier is None
        with pytest.raises(ray_session.exceptions.RayError):
            ray_session.get(worker.end.remote(number))
        earlier, second = ray_session.get(worker.tell.options(max_task_retries=-1).remote())
        assert second != first and earlier == (first if number == CRASH else None)
    finally:
        for actor in (worker, coordinator):
            ray_session.kill(actor)


def test_a_node_is_asked_for_the_notes_that_it_has_and_one_that_went_has_none(ray_session):
    here = ray_session.get_runtime_context().get_node_id()
    note = noting._note("some-actor")
    note.write_text("a process\nFatal Python error: Segmentation fault\n")
    assert crashed_on(here, "some-actor") == "a process"
    assert crashed_on("ab" * (len(here) // 2), "some-actor") is None
    note.unlink()


@pytest.mark.parametrize(("before", "where"), [(None, "here"), ("here", "here"), ("there", "there")])
def test_the_node_is_asked_where_the_process_before_ran(monkeypatch, before, where):
    context = SimpleNamespace(get_actor_id=lambda: "actor", get_node_id=lambda: "here")
    ray = SimpleNamespace(get_runtime_context=lambda: context, get=lambda answer: answer)
    monkeypatch.setattr(noting, "ray", ray)
    monkeypatch.setattr(noting, "_note", lambda actor: f"note of {actor}")
    monkeypatch.setattr(noting, "note_crashes", lambda path, name: ("here", path, name))
    monkeypatch.setattr(noting, "crashed_on", lambda node, actor: (node, f"note of {actor}", "worker"))
    coordinator = SimpleNamespace(moves=SimpleNamespace(remote=lambda actor, node: before))
    assert earlier_crash(coordinator, "worker") == (where, "note of actor", "worker")
