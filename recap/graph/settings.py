"""The YAML's `ray` section."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RaySettings:
    """Where the work runs."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}

    address: str | None = None
    """A running cluster (`auto`, or `host:port`); without it a local session is started."""
    rounds: int = 3
    """How often the graph may run again on clips that a dead worker left behind."""

    def __post_init__(self):
        if self.rounds < 1:
            raise ValueError("ray.rounds must be at least 1")
