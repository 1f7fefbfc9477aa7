"""The table at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from recap.jobs import Summary


def print_summary(summary: Summary, console: Console) -> None:
    """Counts, reasons, speed and where the shards are."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for label, value in _rows(summary):
        table.add_row(label, str(value))
    console.print(table, highlight=False)


def _rows(summary: Summary):
    yield "clips", summary.clips
    yield "captioned", summary.captioned
    yield "quarantined", summary.quarantined
    for reason, number in summary.reasons.items():
        yield f"  {reason}", number
    yield "filtered", summary.filtered
    yield "remaining", summary.remaining
    if summary.vanished:
        yield "vanished", summary.vanished
    yield "seconds", f"{summary.seconds:.1f}"
    yield "clips/s", f"{summary.clips_per_second:.2f}"
    for kind in dict.fromkeys(shard["kind"] for shard in summary.shards):
        yield kind, f"{summary.output}/shards/{summary.generation}/{kind}"
