from __future__ import annotations

import math
import threading

import pytest

from recap.corpus import looking
from recap.corpus.looking import looked_at


@pytest.fixture(params=["slow", "quick"])
def are_slow(request, monkeypatch):
    monkeypatch.setattr(looking, "SLOW_S", -1 if request.param == "slow" else math.inf)
    return request.param == "slow"


@pytest.mark.parametrize("count", [0, 1, 32, 33, 5000])
def test_every_item_is_looked_at_once_and_in_order(are_slow, count):
    seen = []
    assert list(looked_at(lambda item: seen.append(item) or -item, iter(range(count)))) == [-n for n in range(count)]
    assert sorted(seen) == list(range(count))


def test_slow_looks_are_taken_several_at_a_time_and_quick_ones_by_the_caller(are_slow):
    together = threading.Barrier(4)

    def look(item):
        if are_slow and item >= 32:  # the first ones show how long a look takes
            together.wait(timeout=60)
        return threading.current_thread()

    threads = set(looked_at(look, range(32 + 4 * 128)))
    assert (threads == {threading.main_thread()}) is not are_slow


def test_what_stands_first_is_what_is_raised(are_slow):
    def look(item):
        if item in (700, 40, 4000):
            raise ValueError(item)

    with pytest.raises(ValueError, match=r"^40$"):
        list(looked_at(look, range(5000)))
