"""The run's own log, beside its output."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from recap.levels import at_level
from recap.report.printable import PrintableFormatter
from recap.storage import Location, is_store, read_bytes, write_atomically

LOGGER = logging.getLogger("recap")
_WRITING_TO: ContextVar[Path | None] = ContextVar("run.log", default=None)


@contextmanager
def log_file(path: Location) -> Iterator[None]:
    """Append what recap logs to `path` while the context lasts; to an object when it ends."""
    if not is_store(path):
        with _appending(path):
            yield
        return
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, path.name)
        try:
            with _appending(lines):
                yield
        finally:
            with suppress(OSError):  # a store that fails is for the run to report, once
                write_atomically(path, _before(path) + lines.read_bytes())


def _before(path: Location) -> bytes:
    with suppress(FileNotFoundError):
        return read_bytes(path)
    return b""


@contextmanager
def _appending(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(message)s"))
    handler.handleError = lambda record: None  # a full disk is for the run to report, once
    handler.addFilter(lambda record: _WRITING_TO.get() in (None, path))  # a thread of nobody's tells everybody
    ours = _WRITING_TO.set(path)
    try:
        with at_level(LOGGER.name, logging.INFO):
            LOGGER.addHandler(handler)
            yield
    finally:
        _WRITING_TO.reset(ours)
        LOGGER.removeHandler(handler)
        handler.close()
