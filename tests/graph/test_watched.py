import logging

import pytest

from recap.graph.stopping import RayLost
from recap.graph.watched import watched_ray


@pytest.fixture
def lose(monkeypatch):
    """What the two that watch were given to call, in order of their names."""
    calls = {}
    for name in ("watched_head", "watched_raylet"):
        monkeypatch.setattr(f"recap.graph.watched.{name}", Watched(name, calls))
    return calls


class Watched:
    def __init__(self, name, calls):
        self.name, self.calls = name, calls

    def __call__(self, on_lost):
        self.calls[self.name] = on_lost
        return self

    def __enter__(self):
        pass

    def __exit__(self, *how):
        pass


@pytest.mark.parametrize("order", [("watched_head", "watched_raylet"), ("watched_raylet", "watched_head")])
def test_a_node_that_dies_with_its_head_ends_the_work_once(lose, order, caplog):
    ends = []
    with caplog.at_level(logging.ERROR), watched_ray(ends.append):
        for name in order:
            lose[name]()
    assert [type(end) for end in ends] == [RayLost]
    assert len(caplog.messages) == 1
