"""What a run would do, on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape

from recap.records import CAPTIONED, QUARANTINED
from recap.report.listing import pace, print_listing
from recap.report.printable import printable

if TYPE_CHECKING:
    from recap.forecast import Forecast
    from recap.planning import Plan

RERUNS = {
    "view_key": "what the model sees is another thing: every clip is decoded and captioned again",
    "caption_key": "what is asked of which model is another thing: every clip is captioned again",
    "translation_key": "stored captions are translated again, and none is made",
    "review_key": "stored captions are judged again, and none is made",
}
RETURNS = "these settings had a run before: what it made counts and is not made again"
SHOWN = 60


def print_plan(plan: Plan, console: Console) -> None:
    """What is passed over, counts, then what changed since the last run and what therefore reruns."""
    for line in plan.passed_over:
        console.print(escape(printable(line)), highlight=False, soft_wrap=True)
    print_listing(_rows(plan), console)
    for line in _changes(plan):
        console.print(escape(printable(line)), highlight=False, soft_wrap=True)


def _rows(plan: Plan) -> Iterator[tuple[str, Any]]:
    yield "clips", plan.clips
    for name in ("new", "changed", "vanished", "returned"):
        if getattr(plan, name):
            yield f"  {name}", getattr(plan, name)
    if plan.missing:
        yield "  without a file", plan.missing
    yield "done", sum(plan.done.values())
    for status, number in plan.done.items():
        if number:
            yield f"  {status}", number
        if status == QUARANTINED:
            yield from ((f"    {reason}", count) for reason, count in plan.reasons.items())
    yield "to do", plan.to_do
    for language, clips in plan.to_translate.items():
        yield f"to translate into {language}", clips


def _changes(plan: Plan) -> Iterator[str]:
    if not plan.settings and not plan.stale:
        return
    yield "since the last run:"
    for name, (before, after) in plan.settings.items():
        yield f"  {name}: {_short(before)} → {_short(after)}"
    for key, settings in plan.stale.items():
        if settings:
            consequence = RETURNS if _had_a_run(plan, key) else RERUNS[key.split("/")[0]]
            yield f"{key} changed ({', '.join(settings)}): {consequence}"
    if not plan.stale:
        yield "no key changed: nothing is captioned again for these settings"


def _had_a_run(plan: Plan, key: str) -> bool:
    name, _, language = key.partition("/")
    if name == "translation_key":
        return plan.to_translate[language] < plan.done[CAPTIONED] + plan.to_do
    return name != "review_key" and any(plan.done.values())


def print_forecast(forecast: Forecast | str, console: Console) -> None:
    """What the clips to do would take, or why that is not known."""
    if isinstance(forecast, str):
        console.print(escape(f"no forecast: {forecast}"), highlight=False, soft_wrap=True)
        return
    print_listing(_foreseen(forecast), console)


def _foreseen(forecast: Forecast) -> Iterator[tuple[str, str]]:
    machine = forecast.machine
    gpus = f", {machine.gpus:g} GPUs" if machine.gpus else ""
    yield "forecast for", f"{machine.cpus:g} CPUs{gpus}, after {forecast.probed} clips"
    yield "  pace", f"{pace(forecast.clips_per_s)} clips/s, bound by {forecast.bound_by}"
    yield "  time", _interval(str(timedelta(seconds=round(seconds))) for seconds in forecast.seconds)
    if forecast.languages:
        yield "  without", f"translating into {', '.join(forecast.languages)}"
    yield "  decoding", f"{forecast.decode_cores:.1f} cores keep the engine busy"
    if any(forecast.gpu_hours):
        yield "  GPU-hours", _interval(f"{hours:.2f}" for hours in forecast.gpu_hours)
        if forecast.cost is not None:
            yield "  cost", _interval(f"{cost:.2f}" for cost in forecast.cost)
    yield "  reads", decimal(forecast.read_bytes)
    yield "  writes", decimal(forecast.written_bytes)


def _interval(of: Iterable[str]) -> str:
    least, expected, most = of
    return f"{expected}, from {least} to {most}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
