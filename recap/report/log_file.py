"""The run's own log, beside its output."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recap.report.printable import PrintableFormatter
from recap.storage import Location, is_store, read_bytes, write_atomically


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
    logger = logging.getLogger("recap")
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(message)s"))
    handler.handleError = lambda record: None  # a full disk is for the run to report, once
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
