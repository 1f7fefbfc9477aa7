"""Commands that caption, or say what that would take."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from recap.cli.group import leave
from recap.cli.options import JSON, OVERRIDES, PIPELINE, on_output
from recap.storage import Location

if TYPE_CHECKING:
    from recap.jobs import Summary

MOVED = click.option("--corpus-moved", is_flag=True, help="OUTPUT's corpus lies elsewhere now: take this one for it.")


@click.command()
@PIPELINE
@OVERRIDES
@click.option("--limit", type=click.IntRange(min=1), help="Caption the first N clips only; a later run goes on.")
@click.option("--max-gpu-hours", type=click.FloatRange(min=0), help="Stop in order when GPUs were held that long.")
@click.option("--max-cost", type=click.FloatRange(min=0), help="Stop in order when those hours cost that much.")
@MOVED
@JSON
def run(
    pipeline: Path,
    overrides: tuple[str, ...],
    limit: int | None,
    max_gpu_hours: float | None,
    max_cost: float | None,
    corpus_moved: bool,
    as_json: bool,
) -> None:
    """Caption what PIPELINE describes; run again to go on after any stop."""
    from recap import jobs
    from recap.budget import Budget
    from recap.pipeline import load_pipeline

    settings, budget = load_pipeline(pipeline, overrides), Budget(max_gpu_hours, max_cost)
    _finish(lambda: jobs.run(settings, limit=limit, budget=budget, corpus_moved=corpus_moved), as_json)


def _finish(run: Callable[[], Summary], as_json: bool) -> None:
    """Caption, print the summary, and exit with what docs/operation.md says."""
    from rich.console import Console

    from recap.jobs import GO_ON, RayLost
    from recap.ledger import OutputFailed
    from recap.report.summary import print_summary

    signal.signal(signal.SIGTERM, _terminated)
    try:
        with redirect_stdout(sys.stderr):  # Ray tells of dead workers there
            summary = run()
    except RayLost:
        sys.exit(1)
    except OutputFailed as error:
        leave(f"{error}; make room, or bring the storage back: {GO_ON}", 3)
    except KeyboardInterrupt:
        leave(f"interrupted; {GO_ON}", 130)
    except SystemExit:
        leave(f"terminated; {GO_ON}", 143)
    if as_json:
        click.echo(json.dumps(asdict(summary)))
    else:
        print_summary(summary, Console())
    if not summary.complete and summary.stopped_by:
        leave(f"stopped with {_left(summary)}; {GO_ON}", 128 + summary.stopped_by)
    if not summary.complete and summary.is_over_budget:
        leave(f"the budget is used up with {_left(summary)}; {GO_ON}", 4)
    if not summary.complete:
        leave(f"ended with {_left(summary)}; {GO_ON}", 1)


def _left(summary: Summary) -> str:
    languages = (f" and {clips} not yet in {language}" for language, clips in summary.untranslated.items() if clips)
    return f"{summary.remaining} clips remaining" + "".join(languages)


def _terminated(*_) -> NoReturn:
    """SIGTERM where nothing is in flight. Calls of Ray's end early for SystemExit, and for little else."""
    raise SystemExit


@click.command()
@on_output
@click.option("--reason", help="What to do again: a stage (decode), a kind (timeout), or both (decode/timeout).")
@click.option(
    "--clip",
    "clips",
    multiple=True,
    metavar="CLIP",
    help="A clip to do again, whatever became of it: its id or address.",
)
@JSON
def retry(output: Location, reason: str | None, clips: tuple[str, ...], as_json: bool) -> None:
    """Caption again what was quarantined in OUTPUT, with the settings of its last run."""
    from recap import jobs

    if reason is None and not clips:
        raise click.UsageError("say what to do again: --reason decode, or --clip CLIP")
    _finish(lambda: jobs.retry(output, reason=reason, clips=clips), as_json)


@click.command()
@PIPELINE
@OVERRIDES
@click.option("--limit", type=click.IntRange(min=1), help="As for `recap run`.")
@click.option(
    "--probe",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    help="Clips to caption for a forecast; 0: none.",
)
@MOVED
@JSON
def plan(
    pipeline: Path, overrides: tuple[str, ...], limit: int | None, probe: int, corpus_moved: bool, as_json: bool
) -> None:
    """Say what `recap run` would do and take, and what has changed since the last one. Writes nothing."""
    from rich.console import Console

    from recap.forecast import foresee
    from recap.leaving import leaving_soon
    from recap.pipeline import load_pipeline
    from recap.planning import list_corpus, plan
    from recap.report.plan import print_forecast, print_plan
    from recap.report.progress import Progress

    settings = load_pipeline(pipeline, overrides)
    with leaving_soon():
        listing = list_corpus(settings, corpus_moved=corpus_moved, on_listed=Progress().listed)
        planned = plan(settings, listing, limit=limit)
        if probe and planned.to_do:
            click.echo(f"probing {min(probe, planned.clips)} clips...", err=True)
        forecast = foresee(settings, planned.to_do, probe, listing)
    if as_json:
        click.echo(
            json.dumps(asdict(planned) | {"forecast": forecast if isinstance(forecast, str) else asdict(forecast)})
        )
    else:
        print_plan(planned, Console())
        print_forecast(forecast, Console())
