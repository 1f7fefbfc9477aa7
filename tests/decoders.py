"""The decoders in children that this process has."""

from __future__ import annotations

from contextlib import suppress

import psutil


def children() -> list[psutil.Process]:
    """This process's decoders that live."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # it may end while it is looked at
            found += [child] if "memory_gb" in " ".join(child.cmdline()) else []
    return found
