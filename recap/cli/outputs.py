"""Commands that look at an output, and change nothing of it but its page."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from recap.cli.options import JSON, file_to_write, on_output, progress_bar
from recap.storage import Location, is_store, location

MEND = "the same pipeline, run again, mends damaged shards and does again what damaged fragments held"
BY_HAND = ("recipe.json", "snapshot")
FIRST = "; delete damaged shards first, for of those in a store a run compares the size alone"


@click.command()
@on_output
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


@click.command()
@on_output
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
        by_hand = " and ".join(dict.fromkeys(each.where for each in found if each.where in BY_HAND))
        first = by_hand and f"no run mends {by_hand}, of which see above; after that "
        click.echo(f"{count}: {first}{MEND}{FIRST * is_store(output)}" if found else "all is as it must be")
    sys.exit(1 if found else 0)


@click.command()
@on_output
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
        click.echo(write_sheet(output, jobs.root_of(output), file_to_write(sheet), rows or 10, latest=latest))
        return
    if page is None:
        print_captions(output, rows or 10, Console(), latest=latest)
    if page is not None or not (rows or latest):
        file = file_to_write(page, ".html", ".htm") if page else output / "report/index.html"
        click.echo(_page(output, file, rows or 1000, strips))


def _page(output: Location, file: Location, rows: int, strips: int) -> Location:
    from recap import jobs
    from recap.report.page import write_page

    with progress_bar(min(rows, strips), "frames") as bar:
        return write_page(output, jobs.root_of(output), file, rows=rows, strips=strips, on_row=lambda: bar.update(1))


@click.command()
@on_output
@click.argument("file", metavar="FILE.csv")
@click.option("--bom", is_flag=True, help="For spreadsheets: a byte-order mark, and no cell that is a formula.")
def export(output: Location, file: str, bom: bool) -> None:
    """Write the captions of OUTPUT to a CSV file, one row each; `-` is standard output."""
    from recap.report.export import stream_csv, write_csv

    if file == "-":
        captions = stream_csv(output, click.get_binary_stream("stdout"), bom=bom)
        click.echo(f"{captions} captions", err=True)
    else:
        click.echo(f"{write_csv(output, file_to_write(file, '.csv'), bom=bom)} captions in {location(file)}")
