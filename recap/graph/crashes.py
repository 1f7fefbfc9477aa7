"""Which workers crashed: a crash leaves a note on its node, kill -9 and the kernel that wants memory do not."""

from __future__ import annotations

import faulthandler
from io import TextIOWrapper
from pathlib import Path

_NOTES: list[TextIOWrapper] = []  # open for as long as this process lives


def note_crashes(path: Path, name: str) -> str | None:
    """From now on a crash of this process is noted in `path`, under `name`.

    The name under which an earlier process crashed that wrote there; None where it did not.
    """
    crashed = crashed_before(path)
    _NOTES.append(path.open("w"))
    print(name, file=_NOTES[-1], flush=True)
    faulthandler.enable(_NOTES[-1], all_threads=False)
    return crashed


def crashed_before(path: Path) -> str | None:
    """The name under which the last process crashed that wrote in `path`; None where it did not."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return lines[0] if len(lines) > 1 else None
