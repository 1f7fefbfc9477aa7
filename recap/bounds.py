"""Between what numbers a setting lies, said once, in its type.

Pydantic checks it where settings are read, and schemas tell it to editors. Here there is no pydantic: rooms that do
without it say their settings with these too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True)
class Bounds:
    """At least `ge` or above `gt`, and at most `le` or below `lt`."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def __get_pydantic_core_schema__(self, kind: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """What pydantic asks of a type's annotations."""
        return handler(kind) | {name: bound for name, bound in vars(self).items() if bound is not None}


Count = Annotated[int, Bounds(ge=1)]
Whole = Annotated[int, Bounds(ge=0)]
Positive = Annotated[float, Bounds(gt=0)]
NotNegative = Annotated[float, Bounds(ge=0)]
Share = Annotated[float, Bounds(ge=0, le=1)]
UpToAMillion = Annotated[float, Bounds(gt=0, le=1e6)]  # far above it the system's own limits and clocks overflow
