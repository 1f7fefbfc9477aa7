from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from recap.records import ClipError
from recap.video.span import span_indices
from recap.video.timeline import Timeline


def timeline(*times_s: float) -> Timeline:
    pts = np.array([round(1000 * each) for each in times_s], np.int64)
    return Timeline(pts, Fraction(1, 1000), 0, 0.0, times_s[-1])


SLIDES = timeline(0, 0.03, 10, 20)


@pytest.mark.parametrize(
    ("span", "first", "last"),
    [
        ((6, 9), 1, 1),  # the picture of 0.03 s is on the screen, and the next comes later
        ((10, 19), 2, 2),
        ((9.99, 10), 1, 2),
        ((0.01, 0.02), 0, 0),
        ((15, None), 2, 3),
        ((None, 15), 0, 2),
        ((20.1, None), 3, 3),
    ],
)
def test_a_span_of_a_varying_rate_shows_what_is_on_the_screen_in_it(span, first, last):
    shown = span_indices(SLIDES, 0.2, 4, span)
    assert shown == sorted(shown) and set(shown) <= set(range(first, last + 1)) and shown[0] == first


@pytest.mark.parametrize(
    ("frames", "fps", "span"),
    [(10, 1, (9.6, 10.0)), (10, 1, (9.5, None)), (1, 1, (0.6, 1.0)), (8, 4, (1.9, 2.0))],
)
def test_a_span_at_the_end_of_the_last_frame_shows_that(frames, fps, span):
    steady = timeline(*(number / fps for number in range(frames)))
    assert span_indices(steady, fps, 4, span) == [frames - 1] * 4


@pytest.mark.parametrize("span", [(10.0, 11.0), (12.0, None)])
def test_a_span_behind_the_last_frame_shows_none(span):
    with pytest.raises(ClipError, match="holds none"):
        span_indices(timeline(*range(10)), 1, 4, span)


@pytest.mark.parametrize(("frames", "fps"), [(27, 24000 / 1001), (61, 29.97), (29, 25.0), (28, 25.0)])
def test_nor_does_one_behind_the_end_of_a_varying_rate(frames, fps):
    late = timeline(*(number / fps for number in range(frames - 1)), frames / fps + 1)
    with pytest.raises(ClipError, match="holds none"):
        span_indices(late, fps, 4, (1000.0, 1005.0))
