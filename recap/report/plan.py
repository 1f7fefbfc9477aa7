"""What a run would do, on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from recap.planning import Plan

RERUNS = {
    "view_key": "what the model sees is another thing: every clip is decoded and captioned again",
    "caption_key": "what is asked of which model is another thing: every clip is captioned again",
    "review_key": "captions are reviewed in another way",
}
SHOWN = 60


def print_plan(plan: Plan, console: Console) -> None:
    """Counts, then what changed since the last run and what therefore reruns."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for label, number in _rows(plan):
        table.add_row(label, str(number))
    console.print(table, highlight=False)
    for line in _changes(plan):
        console.print(escape(line), highlight=False, soft_wrap=True)


def _rows(plan: Plan) -> Iterator[tuple[str, Any]]:
    yield "clips", plan.clips
    for name in ("new", "changed", "vanished", "returned"):
        if getattr(plan, name):
            yield f"  {name}", getattr(plan, name)
    yield "done", sum(plan.done.values())
    for status, number in plan.done.items():
        if number:
            yield f"  {status}", number
    for reason, number in plan.reasons.items():
        yield f"    {reason}", number
    yield "to do", plan.to_do


def _changes(plan: Plan) -> Iterator[str]:
    if not plan.settings and not plan.stale:
        return
    yield "since the last run:"
    for name, (before, after) in plan.settings.items():
        yield f"  {name}: {_short(before)} → {_short(after)}"
    for key, settings in plan.stale.items():
        if settings:
            yield f"{key} changed ({', '.join(settings)}): {RERUNS[key]}"
    if not plan.stale:
        yield "no key changed: nothing is captioned again for these settings"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
