"""The YAML's `ray` section."""

from __future__ import annotations

from dataclasses import dataclass

from recap.bounds import Count, Positive


@dataclass(frozen=True)
class RaySettings:
    """Where the work runs."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    address: str | None = None
    """A running cluster (`auto`, or `host:port`); without it a local session is started."""
    rounds: Count = 3
    """How often the graph may run, the first time and again on clips that a dead worker left behind."""
    price_per_gpu_hour: Positive | None = None
    """What a GPU costs for an hour, in any currency: `recap plan` foresees a cost with it, `--max-cost` bounds one."""
