from __future__ import annotations

import pytest

from recap.graph import counter


@pytest.fixture
def counting(monkeypatch):
    monkeypatch.setattr(counter, "end_with_raylet", lambda: None)
    return counter.Counter(4)


def test_a_block_that_a_worker_does_twice_counts_once(counting):
    for _ in range(2):
        counting.add(["a", "b"])
        assert not counting.is_over(["a", "b"], ["a"])
    assert (counting.total(), counting.is_complete()) == (2, False)
    counting.add(["c", "d"])
    assert (counting.total(), counting.is_complete()) == (4, True)
    assert counting.is_over(["c", "d"], ["c", "d"])
