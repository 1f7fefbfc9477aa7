"""From an output to its page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from typing import Any

from recap.ledger import Manifest, read_manifest
from recap.report.last import last_report
from recap.report.page.assembly import assemble
from recap.report.page.entries import entry
from recap.report.page.order import worst_first
from recap.report.page.strips import Strips
from recap.report.rows import read_rows
from recap.storage import Location, write_atomically


def write_page(
    output: Location,
    root: Location,
    file: Location,
    *,
    rows: int,
    strips: int,
    on_row: Callable[[], None] = lambda: None,
) -> Location:
    """Write the `rows` worst rows of `output` to `file`, `strips` of them with frames of the clips below `root`.

    A clip that can no longer be read has a note in their place. `on_row` is called after each row. Raises ValueError
    where no run has finished.
    """
    manifest = read_manifest(output)
    chosen = worst_first(read_rows(output, manifest), rows)
    with closing(Strips(root, strips)) as drawn:
        entries = list(_entries(chosen, drawn, on_row))
    named = output if output.name else output.resolve()  # `.` says nothing to who reads it elsewhere
    data = _account(output, manifest) | {"output": str(named), "entries": entries}
    write_atomically(file, assemble(f"{named.name or named}: recap", data).encode())
    return file


def _entries(rows: Iterable[Mapping[str, Any]], strips: Strips, on_row: Callable[[], None]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield entry(row, strips.of(row))
        on_row()


def _account(output: Location, manifest: Manifest) -> dict[str, Any]:
    """The books of the manifest, and the speed of the run that wrote it."""
    report = last_report(output)
    is_current = report.generation == manifest.generation
    named = ("generation", "caption_key", "review_key", "flags", "reasons")
    told = asdict(manifest)
    return {name: told[name] for name in named} | {
        "books": told["reconciliation"],
        "translated": {language: line.clips for language, line in manifest.translations.items()},
        "speed": asdict(report.speed) if is_current and report.speed else None,
    }
