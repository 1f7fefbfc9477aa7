"""Which frames of a clip the model sees."""

from __future__ import annotations


def frame_indices(
    total_frames: int,
    count: int,
    *,
    fps: float | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> list[int]:
    """`count` frame numbers spread over a clip of `total_frames`, in order, repeated if it is short.

    With `start_s`/`end_s` (seconds) only frames of that span, which needs `fps`. Halves round to
    even. The last frame of a clip longer than `count` is never taken. Raises ValueError on an empty
    clip or span. Source: magic-research/PLLaVA, tasks/eval/eval_utils.py.
    """
    if total_frames < 1 or count < 1:
        raise ValueError(f"cannot take {count} frames of {total_frames}; both must be at least 1")
    first, last = _bounds(total_frames, fps, start_s, end_s)
    if last < first:
        raise ValueError(f"the span {start_s}..{end_s} s holds none of the {total_frames} frames")
    step = (last - first) / count
    if start_s is None and end_s is None:
        return [int(step / 2) + round(step * i) for i in range(count)]
    return [int(first + step / 2 + round(step * i)) for i in range(count)]


def _bounds(total: int, fps: float | None, start_s: float | None, end_s: float | None) -> tuple[int, int]:
    if start_s is None and end_s is None:
        return 0, total - 1
    if not fps or fps <= 0:
        raise ValueError("a span in seconds needs the clip's fps")
    first = 0 if start_s is None else max(0, round(start_s * fps))
    last = total - 1 if end_s is None else min(round(end_s * fps), total - 1)
    return first, last
