from __future__ import annotations

import pytest

from recap.engines import Completion, Request
from recap.engines.standstill import PATIENCE, Standstill

PENDING = [Request("short", 5, token_ids=(1, 2)), Request("long", 20, token_ids=(1,) * 10)]
ENOUGH = PATIENCE * 30


def test_many_fast_steps_may_finish_nothing():
    standstill = Standstill(stall_s=9)
    for _ in range(10 * ENOUGH):
        standstill.note([], 0.001, PENDING)


def test_a_few_slow_steps_may_finish_nothing():
    standstill = Standstill(stall_s=9)
    for _ in range(ENOUGH):
        standstill.note([], 8.0, PENDING)


def test_many_steps_that_take_too_long_may_not():
    standstill = Standstill(stall_s=9)
    for _ in range(ENOUGH):
        standstill.note([], 0.1, PENDING)
    with pytest.raises(TimeoutError, match=r"no text was finished in 241 steps, which took 24 s"):
        standstill.note([], 0.1, PENDING)


def test_what_is_finished_begins_the_count_anew():
    standstill = Standstill(stall_s=9)
    for step in range(10 * ENOUGH):
        standstill.note([Completion("another", (1,), "stop")] if step % ENOUGH == 0 else [], 0.1, PENDING)


def test_with_nothing_pending_nothing_is_missing():
    standstill = Standstill(stall_s=0.1)
    for _ in range(10 * ENOUGH):
        standstill.note([], 0.1, [])
