"""Which frames of a file belong to a clip's span, also where the file's rate varies."""

from __future__ import annotations

import numpy as np

from recap.records import ClipError
from recap.video.sample import frame_indices
from recap.video.timeline import Timeline

Span = tuple[float | None, float | None]


def span_indices(timeline: Timeline, fps: float, count: int, span: Span) -> list[int]:
    """`count` frame numbers of `span` (seconds after the first frame, None for the file's ends).

    Raises ClipError `empty_span` if the file shows no frame in it.
    """
    if is_variable(timeline, fps):
        # The formula counts frames at a steady rate: give it the seconds at which such a clock shows them.
        span = tuple(None if at is None else _steady_s(timeline, fps, at) for at in span)
    try:
        return frame_indices(len(timeline), count, fps=fps, start_s=span[0], end_s=span[1])
    except ValueError:
        raise ClipError("decode", "empty_span", "the clip's span holds none of the file's frames") from None


def is_variable(timeline: Timeline, fps: float) -> bool:
    """Whether a steady clock would be off by more than half a frame anywhere."""
    steady_s = np.arange(len(timeline)) / fps
    return bool(np.abs(timeline.times_s - steady_s).max() > 0.5 / fps)


def _steady_s(timeline: Timeline, fps: float, at_s: float) -> float:
    if at_s > timeline.times_s[-1] + 1 / fps:
        return len(timeline) / fps
    return float(np.interp(at_s, timeline.times_s, np.arange(len(timeline)))) / fps
