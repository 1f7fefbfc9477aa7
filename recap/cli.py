"""The commands: parse, call one function, print. Heavy libraries load inside the commands."""

from __future__ import annotations

import functools
import json
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from recap import __version__
from recap.leaving import undropped
from recap.report.printable import PrintableFormatter, printable
from recap.storage import Location, is_store, location

if TYPE_CHECKING:
    from recap.jobs import Summary
    from recap.pocket.recipes import LearnSettings

MEND = "the same pipeline, run again, mends damaged shards and does again what damaged fragments held"
FIRST = "; delete damaged shards first, for of those in a store a run compares the size alone"
OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
_OUTPUT = click.argument("output", callback=lambda _context, _parameter, value: location(value))
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
PIPELINE = click.argument("pipeline", type=click.Path(path_type=Path))
MOVED = click.option("--corpus-moved", is_flag=True, help="OUTPUT's corpus lies elsewhere now: take this one for it.")
TRAINING = click.option("--training", is_flag=True, help="Of a training YAML instead.")


def _on_output(command: Callable[..., None]) -> Callable[..., None]:
    """The argument OUTPUT, and a store behind it that does not answer as a message and exit 1."""

    @functools.wraps(command)
    def reached(output: Location, **options) -> None:
        from recap.storage import store_errors

        try:
            with store_errors(output):
                command(output, **options)
        except OSError as error:
            if not is_store(output):
                raise
            raise click.ClickException(f"{error.strerror or error} ({output})") from error

    return _OUTPUT(reached)


def _file(name: str, *endings: str) -> Location:
    """The file to write, in a folder that is there: of a slip of the pen, folders would be made.

    It takes the place of no file whose name does not end like it.
    """
    file = location(name)
    if endings and file.suffix.lower() not in endings and file.is_file():
        raise click.UsageError(f"there is a file {file} already: name another, or one that ends in {endings[0]}")
    if not is_store(file) and not file.parent.is_dir():
        raise click.UsageError(f"there is no folder {file.parent} to write {file.name} into: make it, or name another")
    return file


def _bar(length: int, label: str):
    """Progress on a terminal, and nothing elsewhere."""
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty())


class _Group(click.Group):
    """Turns ValueError, which is how recap reports a user's mistake, into a message and exit 2.

    So it does, with exit 1, for a file that the system does not let be read or written.
    """

    def invoke(self, ctx: click.Context):
        try:
            with undropped():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            _leave("interrupted", 130)
        except ValueError as error:
            raise click.UsageError(printable(str(error))) from error
        except OSError as error:
            raise click.ClickException(printable(_said(error))) from error


def _said(error: OSError) -> str:
    """What the system says of a file or of a disk; raises what it says of nothing that a user knows."""
    from recap.ledger import OUTPUT_ERRORS

    if error.filename is not None:
        return f"{error.strerror} ({error.filename2 or error.filename})"
    if error.errno not in OUTPUT_ERRORS:
        raise error
    return error.strerror


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="recap")
def main() -> None:
    """Re-caption video corpora in bulk with PLLaVA."""
    to_stderr = logging.StreamHandler()
    to_stderr.setLevel(logging.WARNING)
    to_stderr.setFormatter(PrintableFormatter("%(levelname)s %(message)s"))
    logging.basicConfig(handlers=[to_stderr])


@main.command()
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
        _leave(f"{error}; make room, or bring the storage back: {GO_ON}", 3)
    except KeyboardInterrupt:
        _leave(f"interrupted; {GO_ON}", 130)
    except SystemExit:
        _leave(f"terminated; {GO_ON}", 143)
    if as_json:
        click.echo(json.dumps(asdict(summary)))
    else:
        print_summary(summary, Console())
    if not summary.complete and summary.stopped_by:
        _leave(f"stopped with {_left(summary)}; {GO_ON}", 128 + summary.stopped_by)
    if not summary.complete and summary.is_over_budget:
        _leave(f"the budget is used up with {_left(summary)}; {GO_ON}", 4)
    if not summary.complete:
        _leave(f"ended with {_left(summary)}; {GO_ON}", 1)


def _left(summary: Summary) -> str:
    languages = (f" and {clips} not yet in {language}" for language, clips in summary.untranslated.items() if clips)
    return f"{summary.remaining} clips remaining" + "".join(languages)


def _terminated(*_) -> NoReturn:
    """SIGTERM where nothing is in flight. Calls of Ray's end early for SystemExit, and for little else."""
    raise SystemExit


def _leave(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)


@main.command()
@_on_output
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


@main.command()
@_on_output
@JSON
def status(output: Location, as_json: bool) -> None:
    """Say where a run stands, whether it lives or died. Takes no lease."""
    from rich.console import Console

    from recap.report.status import print_status
    from recap.status import status

    found = status(output)
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        print_status(found, Console())


@main.command()
@_on_output
@JSON
def verify(output: Location, as_json: bool) -> None:
    """Read every byte of OUTPUT; exit 1 and name each difference where something is not as it must be."""
    from recap.report.progress import Progress
    from recap.verification import verify

    found = verify(output, Progress().far)
    if as_json:
        click.echo(json.dumps({"differences": [asdict(difference) for difference in found]}))
    else:
        for difference in found:
            click.echo(f"{difference.where}: {difference.what}")
        count = f"{len(found)} difference{'s' * (len(found) != 1)}"
        click.echo(f"{count}: {MEND}{FIRST * is_store(output)}" if found else "all is as it must be")
    sys.exit(1 if found else 0)


@main.command()
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


@main.command()
@_on_output
@click.option("--rows", type=click.IntRange(min=1), help="How many records to show; 10, or the 1000 worst on a page.")
@click.option("--latest", is_flag=True, help="Show what was committed last, also while the run goes on.")
@click.option("--sheet", metavar="FILE.png", help="Draw frames and captions into this PNG instead.")
@click.option(
    "--page",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Write the page alone, with the worst rows, to OUTPUT/report/index.html if no FILE is given.",
)
@click.option(
    "--strips", type=click.IntRange(min=0), default=200, show_default=True, help="Rows with frames on a page."
)
def view(output: Location, rows: int | None, latest: bool, sheet: str | None, page: str | None, strips: int) -> None:
    """Show the first captions of OUTPUT and, without --rows, write the page to look through all of them."""
    from rich.console import Console

    from recap import jobs
    from recap.report.sheet import write_sheet
    from recap.report.view import print_captions

    if sheet and page is not None:
        raise click.UsageError("say either --sheet or --page")
    if latest and page is not None:
        raise click.UsageError("a page is of what a run has finished: say either --latest or --page")
    if "-" in (sheet, page):
        raise click.UsageError("--sheet and --page write a file, and nothing to standard output: name one")
    if sheet:
        click.echo(write_sheet(output, jobs.root_of(output), _file(sheet), rows or 10, latest=latest))
        return
    if page is None:
        print_captions(output, rows or 10, Console(), latest=latest)
    if page is not None or not (rows or latest):
        click.echo(
            _page(output, _file(page, ".html", ".htm") if page else output / "report/index.html", rows or 1000, strips)
        )


def _page(output: Location, file: Location, rows: int, strips: int) -> Location:
    from recap import jobs
    from recap.report.page import write_page

    with _bar(min(rows, strips), "frames") as bar:
        return write_page(output, jobs.root_of(output), file, rows=rows, strips=strips, on_row=lambda: bar.update(1))


@main.command()
@_on_output
@click.argument("file", metavar="FILE.csv")
@click.option("--bom", is_flag=True, help="For spreadsheets: a byte-order mark, and no cell that is a formula.")
def export(output: Location, file: str, bom: bool) -> None:
    """Write the captions of OUTPUT to a CSV file, one row each; `-` is standard output."""
    from recap.report.export import stream_csv, write_csv

    if file == "-":
        captions = stream_csv(output, click.get_binary_stream("stdout"), bom=bom)
        click.echo(f"{captions} captions", err=True)
    else:
        click.echo(f"{write_csv(output, _file(file, '.csv'), bom=bom)} captions in {location(file)}")


@main.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@OVERRIDES
@click.option("--json", "as_json", is_flag=True, help="Print what was trained as one JSON object on stdout.")
def train(recipe: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Train the PLLaVA that RECIPE describes; run again to go on after any stop."""
    from recap.training.launch import launch
    from recap.training.recipe import load_recipe

    trained = launch(load_recipe(recipe, overrides))
    if as_json:
        click.echo(json.dumps(asdict(trained)))
    elif trained.folders:
        click.echo(f"{trained.steps} steps, mean loss {trained.loss:.4f}, {trained.bad} bad samples")
        for kind, folder in trained.folders.items():
            click.echo(f"{kind}: {folder}")


@main.group()
def pocket() -> None:
    """A small world of moving shapes, to train and to measure in."""


@pocket.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--clips", type=click.IntRange(min=1), help="How many mp4 clips to make.")
@click.option("--pictures", type=click.IntRange(min=1), help="Or how many JPEG pictures.")
@click.option("--seed", default=0, show_default=True, help="What the clips are drawn from.")
@click.option("--wider", multiple=True, help="Add to the world: turning, bouncing or camera_pan.")
def make(folder: Path, clips: int | None, pictures: int | None, seed: int, wider: tuple[str, ...]) -> None:
    """Write a corpus to FOLDER: files, manifest.jsonl with captions and facts, train.json."""
    from recap.pocket import make_clips, make_pictures

    if (clips is None) == (pictures is None):
        raise click.UsageError("say either --clips or --pictures, and how many")
    with _bar(clips or pictures, str(folder)) as bar:
        if clips:
            make_clips(folder, clips, seed, wider=wider, on_made=lambda _: bar.update(1))
        else:
            make_pictures(folder, pictures, seed, on_made=lambda _: bar.update(1))


@pocket.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@OVERRIDES
def tower(recipe: Path, overrides: tuple[str, ...]) -> None:
    """Write an untrained LLaVA whose vision tower has learnt to see the pictures that RECIPE names."""
    from recap.pocket.recipes import load_tower_recipe
    from recap.pocket.tower import train_tower

    asked = load_tower_recipe(recipe, overrides)
    _learn(
        asked.output.path, asked.train, functools.partial(train_tower, asked.output.path, asked.data.path, asked.train)
    )


@pocket.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@OVERRIDES
def translator(recipe: Path, overrides: tuple[str, ...]) -> None:
    """Train the translator of captions into Chinese that RECIPE describes; run again to go on after any stop."""
    from recap.pocket.recipes import load_translator_recipe
    from recap.pocket.translation import train_translator

    asked = load_translator_recipe(recipe, overrides)
    _learn(asked.output.path, asked.train, functools.partial(train_translator, asked.output.path, asked.train))


def _learn(folder: Path, learn: LearnSettings, train: Callable[..., float]) -> None:
    with _bar(learn.steps, str(folder)) as bar:
        loss = train(on_step=lambda step, _: bar.update(step - bar.pos))
    click.echo(f"{folder}: loss {loss:.5f}")


@main.group()
def model() -> None:
    """Look after checkpoints."""


@model.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--alpha", default=4.0, show_default=True, help="The LoRA is merged with weight alpha / its rank.")
@click.option("--base", type=click.Path(path_type=Path), help="The LLaVA beneath LoRA and projector weights.")
def merge(checkpoint: Path, out: Path, alpha: float, base: Path | None) -> None:
    """Write the folder CHECKPOINT with its LoRA merged to OUT; OUT/language_model is a plain Llama."""
    from recap.pllava.export import merge_checkpoint

    merge_checkpoint(checkpoint, out, base=base, lora_alpha=alpha)
    click.echo(out)


@model.command("hash")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--full", is_flag=True, help="Read every byte of the weights.")
def hash_(checkpoint: Path, full: bool) -> None:
    """Print the digest that tells the weights in the folder CHECKPOINT from others."""
    from recap.pllava import weight_digest

    click.echo(weight_digest(checkpoint, full=full))


@main.group()
def config() -> None:
    """Look at settings without running anything."""


@config.command()
@PIPELINE
@OVERRIDES
@TRAINING
def show(pipeline: Path, overrides: tuple[str, ...], training: bool) -> None:
    """Print the effective settings as YAML, defaults included."""
    import yaml

    from recap.pipeline import load_pipeline
    from recap.training.recipe import as_dict, load_recipe

    settings = as_dict(load_recipe(pipeline, overrides)) if training else load_pipeline(pipeline, overrides).as_dict()
    click.echo(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), nl=False)


@config.command()
@TRAINING
def schema(training: bool) -> None:
    """Print the JSON schema of a pipeline YAML."""
    from recap import pipeline
    from recap.training import recipe

    click.echo(json.dumps((recipe if training else pipeline).json_schema(), indent=2))


@config.command()
@PIPELINE
@OVERRIDES
@TRAINING
def validate(pipeline: Path, overrides: tuple[str, ...], training: bool) -> None:
    """Check PIPELINE as far as that needs no network, corpus or GPU; prompts against a checkpoint that is here."""
    from recap.training.recipe import load_recipe

    if training:
        load_recipe(pipeline, overrides)
    else:
        _check(pipeline, overrides)
    click.echo(f"{pipeline} is valid")


def _check(pipeline: Path, overrides: tuple[str, ...]) -> None:
    from recap.pipeline import load_pipeline
    from recap.planning import check_settings
    from recap.pllava.hub import named_folder
    from recap.prepared import check_view

    settings = load_pipeline(pipeline, overrides)
    check_settings(settings)
    if named_folder(settings.model.checkpoint).is_dir():
        check_view(settings)
