"""Who is told how a graph gets on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from recap.graph.sizing import Machine
from recap.timing import Spent


class Watcher(Protocol):
    """Looks on while a graph runs."""

    def on_decoded(self, clips: int) -> None:
        """So many clips of this graph have been decoded so far."""

    def on_spent(self, spents: Sequence[Spent], machine: Machine) -> None:
        """The graph is over, or has died: the books of its workers, and where they ran."""
