"""The samples that could not be used: one JSON line each, which outlasts a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from recap.training.samples import Bad


class BadLog:
    """A file that every data worker writes into."""

    def __init__(self, path: Path):
        self.path = path

    def begin(self, bad: Iterable[Bad], usable: Collection[str]) -> None:
        """Start with what is `bad` now, and with the damaged files of earlier runs that are `usable` and unchanged."""
        damaged = [row for row in self._rows() if row["path"] in usable and row.get("stamp") == _stamp(row["path"])]
        lines = [*map(_line, bad), *(json.dumps(row) + "\n" for row in damaged)]
        aside = self.path.with_suffix(".new")
        aside.write_text("".join(lines), encoding="utf-8")
        os.replace(aside, self.path)

    def write(self, bad: Bad) -> None:
        """Append one; a short line is written whole, whoever writes beside."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, _line(bad).encode())
        finally:
            os.close(descriptor)

    def read(self) -> dict[str, str]:
        """Each bad sample's path and reason."""
        return {row["path"]: row["reason"] for row in self._rows()}

    def _rows(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        *whole, _torn = self.path.read_text(encoding="utf-8").split("\n")  # a kill may tear the last line
        return [json.loads(line) for line in whole]


def _line(bad: Bad) -> str:
    stamp = _stamp(bad.path) if bad.damaged else None
    return json.dumps({"path": bad.path, "reason": bad.reason, "stamp": stamp}) + "\n"


def _stamp(path: str) -> list[int] | None:
    """Size and time of a file, by which it is known to be the same; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]
