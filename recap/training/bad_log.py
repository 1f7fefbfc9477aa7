"""The samples that could not be used: one JSON line each, which outlasts a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recap.training.samples import Bad, Sample


class BadLog:
    """A file that every data worker writes into. `decode` are the settings that they decode with."""

    def __init__(self, path: Path, decode: Any = None):
        self.path, self._decode = path, decode

    def begin(self, bad: Iterable[Bad], usable: Iterable[Sample]) -> None:
        """Start with what is `bad` now, and with what earlier runs could not decode of the `usable`.

        Nothing of it counts whose sample, file or settings of decoding are others by now.
        """
        damaged = [row for row in self._rows() if row.get("stamp")]
        names = {sample.name for sample in usable} if damaged else ()
        damaged = [row for row in damaged if row.get("name") in names and row["stamp"] == self._stamp(row["path"])]
        lines = [*map(self._line, bad), *(json.dumps(row) + "\n" for row in damaged)]
        aside = self.path.with_suffix(".new")
        aside.write_text("".join(lines), encoding="utf-8")
        os.replace(aside, self.path)

    def write(self, bad: Bad) -> None:
        """Append one; a short line is written whole, whoever writes beside."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, self._line(bad).encode())
        finally:
            os.close(descriptor)

    def read(self) -> list[tuple[str, str]]:
        """Path and reason of every bad sample, once."""
        return list({row["name"]: (row["path"], row["reason"]) for row in self._rows()}.values())

    def _rows(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        *whole, _torn = self.path.read_text(encoding="utf-8").split("\n")  # a kill may tear the last line
        return [json.loads(line) for line in whole]

    def _line(self, bad: Bad) -> str:
        stamp = self._stamp(bad.path) if bad.damaged else None
        return json.dumps({"path": bad.path, "reason": bad.reason, "name": bad.name, "stamp": stamp}) + "\n"

    def _stamp(self, path: str) -> list[Any] | None:
        """Size and time of a file, by which it is known to be the same, and how it is decoded; None without one."""
        try:
            found = os.stat(path)
        except OSError:
            return None
        return [found.st_size, found.st_mtime_ns, repr(self._decode)]
