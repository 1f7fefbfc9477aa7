"""The learning rate of the pocket world's own trainings."""

from __future__ import annotations

import math

WARMUP = 100


def pace(step: int, steps: int) -> float:
    """The share of the learning rate: up over `WARMUP` steps, then a cosine down to a fiftieth."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return min(1.0, (step + 1) / WARMUP) * max(0.02, cosine)
