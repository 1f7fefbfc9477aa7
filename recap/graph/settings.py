"""The YAML's `ray` section."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class RaySettings:
    """Where the work runs."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    address: str | None = None
    """A running cluster (`auto`, or `host:port`); without it a local session is started."""
    rounds: int = 3
    """How often the graph may run, the first time and again on clips that a dead worker left behind."""
    price_per_gpu_hour: float | None = None
    """What a GPU costs for an hour, in any currency: `recap plan` foresees a cost with it, `--max-cost` bounds one."""

    def __post_init__(self):
        if self.rounds < 1:
            raise ValueError("ray.rounds must be at least 1")
        if self.price_per_gpu_hour is not None and not 0 < self.price_per_gpu_hour < math.inf:
            raise ValueError(f"ray.price_per_gpu_hour must be above 0, not {self.price_per_gpu_hour}")
