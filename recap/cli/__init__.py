"""The commands: parse, call one function, print. Heavy libraries load inside the commands."""

from __future__ import annotations

import logging

import click

from recap import __version__
from recap.cli.configs import config
from recap.cli.group import Group
from recap.cli.models import model, pocket, train
from recap.cli.outputs import export, status, verify, view
from recap.cli.runs import plan, retry, run
from recap.report.printable import PrintableFormatter


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="recap")
def main() -> None:
    """Re-caption video corpora in bulk with PLLaVA."""
    to_stderr = logging.StreamHandler()
    to_stderr.setLevel(logging.WARNING)
    to_stderr.setFormatter(PrintableFormatter("%(levelname)s %(message)s"))
    logging.basicConfig(handlers=[to_stderr])


for command in (run, plan, retry, status, verify, view, export, train, pocket, model, config):
    main.add_command(command)
