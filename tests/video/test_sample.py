from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.video import frame_indices

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/frontend/frame_indices.json").read_text())


def test_indices_equal_the_reference():
    for case in GOLDEN:
        start_s, end_s = case["bound"] or (None, None)
        found = frame_indices(case["total_frames"], case["num_segments"], fps=case["fps"], start_s=start_s, end_s=end_s)
        assert found == case["indices"], case


def test_a_span_may_have_one_open_end():
    assert frame_indices(100, 4, fps=10, start_s=5) == frame_indices(100, 4, fps=10, start_s=5, end_s=99)
    assert frame_indices(100, 4, fps=10, end_s=5) == frame_indices(100, 4, fps=10, start_s=0, end_s=5)


@given(st.integers(1, 5000), st.integers(1, 64))
def test_indices_are_in_order_and_inside(total, count):
    found = frame_indices(total, count)
    assert len(found) == count and found == sorted(found) and found[0] >= 0 and found[-1] < total


@pytest.mark.parametrize("total, count, span", [(0, 4, {}), (4, 0, {}), (10, 4, {"start_s": 9.0, "fps": 5})])
def test_nothing_to_show_is_an_error(total, count, span):
    with pytest.raises(ValueError):
        frame_indices(total, count, **span)


def test_a_span_needs_a_rate():
    with pytest.raises(ValueError, match="fps"):
        frame_indices(10, 4, start_s=1.0)
