"""How a command that fails says so, and the status that it ends with."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from recap.leaving import undropped
from recap.report.printable import printable


class Group(click.Group):
    """Turns ValueError, which is how recap reports a user's mistake, into a message and exit 2.

    So it does, with exit 1, for a file that the system does not let be read or written.
    """

    def invoke(self, ctx: click.Context):
        try:
            with undropped():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            leave("interrupted", 130)
        except ValueError as error:
            if isinstance(error, UnicodeEncodeError) and error.encoding != "utf-8":
                said = f"what is to be shown cannot be in {error.encoding}"
                raise click.ClickException(f"{said}: set PYTHONIOENCODING=utf-8, or a locale that has it") from error
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


def leave(message: str, code: int) -> NoReturn:
    """Say the last word, and end with this status."""
    click.echo(message, err=True)
    sys.exit(code)
