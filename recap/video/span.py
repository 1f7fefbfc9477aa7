"""Which frames of a file belong to a clip's span, also where the file's rate varies."""

from __future__ import annotations

import numpy as np

from recap.records import ClipError
from recap.video.sample import frame_indices
from recap.video.timeline import Timeline

CLOCK_S = 1e-6  # so much may a time be off that was reckoned
Span = tuple[float | None, float | None]


def span_indices(timeline: Timeline, fps: float, count: int, span: Span) -> list[int]:
    """`count` frame numbers of `span` (seconds after the first frame, None for the file's ends).

    Raises ClipError `empty_span` if the file shows no frame in it.
    """
    start_s, end_s = span
    if is_variable(timeline, fps):
        # The formula counts frames at a steady rate: give it the seconds at which such a clock shows them.
        start_s, end_s = (None if at is None else _steady_s(timeline, fps, at) for at in span)
    if start_s is not None and start_s * fps < len(timeline):
        start_s = min(start_s, (len(timeline) - 1) / fps)  # the last frame stays, and the formula rounds beyond it
    try:
        return frame_indices(len(timeline), count, fps=fps, start_s=start_s, end_s=end_s)
    except ValueError:
        raise ClipError("decode", "empty_span", "the clip's span holds none of the file's frames") from None


def is_variable(timeline: Timeline, fps: float) -> bool:
    """Whether a steady clock would be off by more than half a frame anywhere."""
    steady_s = np.arange(len(timeline)) / fps
    return bool(np.abs(timeline.times_s - steady_s).max() > 0.5 / fps)


def _steady_s(timeline: Timeline, fps: float, at_s: float) -> float:
    if at_s > timeline.times_s[-1] + 1 / fps:
        return (len(timeline) + 1) / fps  # behind the end whatever fps rounds to
    on_screen = np.searchsorted(timeline.times_s, at_s + CLOCK_S, "right") - 1
    return max(0, int(on_screen)) / fps
