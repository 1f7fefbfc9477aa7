from __future__ import annotations

import pytest

from recap.graph import coordinator
from recap.graph.telling import Warned
from recap.timing import Spent


@pytest.fixture
def counting(monkeypatch):
    monkeypatch.setattr(coordinator, "end_surely", lambda: None)
    return coordinator.Coordinator(4)


def test_a_bundle_that_a_worker_does_twice_counts_once(counting):
    for _ in range(2):
        counting.add(["a", "b"])
        assert not counting.is_over(["a", "b"], ["a"], ["a", "b"])
    assert (counting.total(), counting.is_complete()) == (2, False)
    counting.add(["c", "d"])
    assert (counting.total(), counting.is_complete()) == (4, True)
    assert counting.is_over(["c", "d"], ["c", "d"], ["c", "d"])
    counting.add(["c", "d"])
    assert counting.total() == 4, "a block was decoded once more when its worker died"


def test_a_stopping_graph_is_idle_once_what_was_admitted_is_over(counting):
    assert counting.admit("worker", ["a", "b"]) == {} and not counting.is_idle()
    counting.close()
    assert not counting.is_idle() and counting.admit("worker", ["c"]) is None
    counting.is_over(["c", "d"], [], ["c", "d"])
    assert not counting.is_idle(), "a and b are at work"
    counting.is_over(["a", "b"], ["a"], [])
    assert not counting.is_idle(), "what is a's is not committed"
    counting.is_over(["e", "f"], [], ["e", "f", "a", "b"])
    assert counting.is_idle()


@pytest.mark.parametrize("books", [None, Spent("caption", 1, 9.0, {}, {}, {})])
@pytest.mark.parametrize("how", ["with a note", "without one"])
def test_what_a_dead_worker_had_is_not_waited_for(counting, how, books):
    counting.report("actor", "dies", {})
    counting.admit("dies", ["a", "b"])
    counting.admit("lives", ["c", "d"])
    counting.report("actor", "dies", {}, books)
    counting.close()
    counting.report("actor", "takes its place", {}) if how == "without one" else counting.crashed("dies")
    assert not counting.is_idle()
    counting.is_over(["c", "d"], ["c", "d"], ["c", "d"])
    assert counting.is_idle()


def test_where_a_process_before_ran_is_known(counting):
    told = [counting.moves(*pair) for pair in (("actor", "a"), ("other", "b"), ("actor", "a"), ("actor", "b"))]
    assert told == [None, None, "a", "a"]


def test_who_lives_has_waited_until_the_last_bundle_was_over(counting, monkeypatch):
    now = iter((5.0, 10.0, 20.0, 30.0, 50.0, 60.0))
    monkeypatch.setattr(coordinator.time, "monotonic", lambda: next(now))
    busy = Spent("decode", 1, 9.0, {"decoding": 9.0}, {}, {})
    counting.report("idle", "dies, and nothing is left for the next", {}, busy)
    counting.report("idle", "has no books yet", {})
    counting.report("actor", "dies", {}, busy)
    counting.report("actor", "takes its place", {}, busy)
    counting.report("other", "captions", {}, Spent("caption", 1, 9.0, {"vision": 8.0}, {}, {}))
    counting.is_over(["a"], ["a"], ["a"])
    counting.report("third", "reports later", {}, busy)
    replaced, dead, living, captions, late = counting.spents()
    assert (replaced.alive_s, dead.alive_s, late.alive_s) == (9.0, 9.0, 9.0)
    assert (living.alive_s, living.seconds) == (39.0, {"decoding": 9.0, "waiting_for_engine": 30.0})
    assert (captions.alive_s, captions.seconds) == (29.0, {"vision": 8.0, "waiting_for_frames": 20.0})


def test_warnings_of_workers_are_counted_by_their_wording(counting):
    counting.report("actor", "one", {"%s is bad": Warned("a is bad", 2)})
    counting.report("actor", "two", {"%s is bad": Warned("b is bad"), "slow": Warned("slow")})
    assert counting.warned() == {"%s is bad": Warned("a is bad", 3), "slow": Warned("slow")}
