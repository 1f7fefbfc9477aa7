"""Where a run stands, on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from recap.status import Status


def print_status(status: Status, console: Console) -> None:
    """Who is at it, the books, and when something was last committed."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for label, value in _rows(status):
        table.add_row(label, str(value))
    console.print(table, highlight=False)


def _rows(status: Status) -> Iterator[tuple[str, Any]]:
    yield "state", status.state
    if status.holder is not None:
        yield "run", "{epoch}, pid {pid} on {host}, since {since}".format(**status.holder)
    yield from status.books.items()
    for reason, number in status.reasons.items():
        yield f"  {reason}", number
    if status.last_commit_s is not None:
        yield "last commit", f"{status.last_commit_s:.0f} s ago"
    yield "shards", status.generation or "none yet"
