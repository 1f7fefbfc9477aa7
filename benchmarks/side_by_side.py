"""Several ways of doing one thing, each measured in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterable

import click


def measure_each(script: str, option: str, names: Iterable[str], arguments: Iterable[object], quiet: bool) -> None:
    """Run `script … option NAME` for each name and print what they print; exit 1 where one fails, and say why."""
    command = [sys.executable, script, *map(str, arguments), "--json", option]
    runs = {name: subprocess.run([*command, name], capture_output=True, text=True) for name in names}
    result = {name: json.loads(run.stdout) for name, run in runs.items() if not run.returncode}
    if not quiet:
        for name, row in result.items():
            click.echo(f"{name}: {row}")
    click.echo(json.dumps(result))
    if failed := [f"{name} failed: {last_line(run.stderr)}" for name, run in runs.items() if run.returncode]:
        sys.exit("\n".join(failed))


def last_line(text: str) -> str:
    """Of a traceback, what went wrong."""
    return (text.strip().splitlines() or ["it said nothing"])[-1]


def peak_mb() -> float:
    """The most memory that this process has had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
