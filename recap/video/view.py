"""Sizes on the way from a frame to the square pictures that the model takes."""

from __future__ import annotations

from recap.records import WINDOWS

MODEL_SIZE = 336
LONGEST = 640


def first_size(width: int, height: int, view: str, size: int) -> tuple[int, int]:
    """(width, height) after the first resize of `view`; `pad` has no other."""
    if view == "pad":
        scale = size / max(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))
    return scaled(width, height, _processor_short(width, height, size))


def coverage(width: int, height: int, view: str, size: int) -> float:
    """The fraction of the picture's area that `apply_view` keeps, 0 to 1."""
    windows = window_count(view)
    if view == "pad":
        return 1.0
    longest = max(scaled(*first_size(width, height, view, size), size))
    return min(1.0, windows * size / longest)


def window_count(view: str) -> int:
    """How many square pictures `view` makes of a frame; ValueError if there is no such view."""
    if view not in WINDOWS:
        raise ValueError(f"unknown view {view!r}; choose one of {', '.join(WINDOWS)}")
    return WINDOWS[view]


def scaled(width: int, height: int, short: int) -> tuple[int, int]:
    """(width, height) of a picture whose shorter side becomes `short`."""
    if width <= height:
        return short, int(short * height / width)
    return int(short * width / height), short


def _processor_short(width: int, height: int, size: int) -> int:
    short, long = sorted((width, height))
    longest = round(LONGEST * size / MODEL_SIZE)
    return max(size, min(short, int(min(longest, long) / (long / short))))
