"""Arguments and options that commands share, and what is made of them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

import click

from recap.storage import Location, is_store, location

OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
_OUTPUT = click.argument("output", callback=lambda _context, _parameter, value: location(value))
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
PIPELINE = click.argument("pipeline", type=click.Path(path_type=Path))
RECIPE = click.argument("recipe", type=click.Path(path_type=Path))


def on_output(command: Callable[..., None]) -> Callable[..., None]:
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


def file_to_write(name: str, *endings: str) -> Location:
    """The file to write, in a folder that is there: of a slip of the pen, folders would be made.

    It takes the place of no file whose name does not end like it.
    """
    file = location(name)
    if endings and file.suffix.lower() not in endings and file.is_file():
        raise click.UsageError(f"there is a file {file} already: name another, or one that ends in {endings[0]}")
    if not is_store(file) and not file.parent.is_dir():
        raise click.UsageError(f"there is no folder {file.parent} to write {file.name} into: make it, or name another")
    return file


def progress_bar(length: int, label: str):
    """Progress on a terminal, and nothing elsewhere."""
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty())
