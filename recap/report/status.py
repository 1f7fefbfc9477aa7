"""Where a run stands, on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console

from recap.records import QUARANTINED
from recap.report.listing import print_listing

if TYPE_CHECKING:
    from recap.status import Status


def print_status(status: Status, console: Console) -> None:
    """Who is at it, the books, and when something was last committed."""
    print_listing(_rows(status), console)


def _rows(status: Status) -> Iterator[tuple[str, Any]]:
    yield "state", status.state
    if status.holder is not None:
        yield "run", "{epoch}, pid {pid} on {host}, since {since}".format(**status.holder)
    for name, clips in status.books.items():
        yield name, clips
        if name == QUARANTINED:
            yield from ((f"  {reason}", number) for reason, number in status.reasons.items())
    for language, clips in status.untranslated.items():
        yield f"not in {language} yet", clips
    if status.last_commit_s is not None:
        yield "last commit", f"{status.last_commit_s:.0f} s ago"
    yield "shards", status.generation or "none yet"
