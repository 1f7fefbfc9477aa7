"""Text that a terminal shows and does not obey."""

from __future__ import annotations

import logging

SPELT = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    """`text` with its control characters spelt out: a file's name may hold some, and what a model says."""
    return text.translate(SPELT)


class PrintableFormatter(logging.Formatter):
    """Of logs that are read on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, `printable`."""
        return printable(super().format(record))
