"""Text that a terminal shows and does not obey."""

from __future__ import annotations

import logging

CONTROLS = [code for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"]
DIRECTIONS = (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))  # they reorder what is shown
SPELT = {code: f"\\x{code:02x}" for code in CONTROLS} | {code: f"\\u{code:04x}" for code in DIRECTIONS}


def printable(text: str) -> str:
    """`text` with its characters that control a terminal, or the direction of writing, spelt out.

    A file's name may hold some, and what a model says. Letters that are written from the right stay as they are.
    """
    return text.translate(SPELT)


class PrintableFormatter(logging.Formatter):
    """Of logs that are read on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, `printable`."""
        return printable(super().format(record))
