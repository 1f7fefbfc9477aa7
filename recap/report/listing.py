"""A list of labels and values on the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from rich.console import Console

from recap.report.printable import printable

GAP, NARROWEST = 2, 20


def pace(clips_per_s: float) -> str:
    """Clips/s to a hundredth, and a slow pace in two digits."""
    return f"{clips_per_s:.2g}" if 0 < clips_per_s < 0.1 else f"{clips_per_s:.2f}"


def print_listing(rows: Iterable[tuple[str, Any]], console: Console) -> None:
    """One `label  value` a line. A value too wide is folded between words, never within a path."""
    listed = [(label, printable(str(value))) for label, value in rows]
    indent = max(len(label) for label, _ in listed) + GAP
    width = max(console.width - indent, NARROWEST)
    for label, value in listed:
        lines = textwrap.wrap(value, width, break_long_words=False, break_on_hyphens=False)
        text = f"\n{'':{indent}}".join(lines)
        console.print(f"{label:{indent}}{text}", markup=False, highlight=False, soft_wrap=True)
