"""Committed records: how they get to the disk and how they are read back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from threading import Lock, Timer

import pyarrow as pa
import pyarrow.parquet as pq

from recap.ledger.files import write_atomically
from recap.ledger.schema import FRAGMENT, fragment_table
from recap.records import Record

log = logging.getLogger(__name__)
IDENTITY = ["clip_id", "source_version", "status", "error_stage", "error_kind"]


class FragmentWriter:
    """Collects the records of one worker and commits them as fragments.

    A crash costs what was appended since the last flush: at most `flush_s` seconds or
    `flush_rows` records, whichever comes first.
    """

    def __init__(self, folder: Path, epoch: int, writer: str, flush_s: float, flush_rows: int = 512):
        assert "-" not in writer, writer
        self.folder, self.epoch, self.writer = folder, epoch, writer
        self.flush_s, self.flush_rows = flush_s, flush_rows
        self._records: list[Record] = []
        self._timer = Timer(0, self.flush)
        self._seq = 0
        self._lock = Lock()

    def append(self, record: Record) -> None:
        """Take a record; commits when enough records or seconds have gathered."""
        with self._lock:
            if not self._records:
                self._start_timer()
            self._records.append(record)
            if len(self._records) >= self.flush_rows:
                self._commit()

    def flush(self) -> None:
        """Commit what was appended."""
        with self._lock:
            if self._records:
                self._commit()

    def _start_timer(self) -> None:
        self._timer = Timer(self.flush_s, self.flush)
        self._timer.daemon = True
        self._timer.start()

    def _commit(self) -> None:
        self._timer.cancel()
        table = fragment_table(self._records)
        path = self.folder / f"{self.epoch:06d}-{self.writer}-{self._seq:06d}.parquet"
        write_atomically(path, lambda aside: pq.write_table(table, aside))
        self._seq += 1
        self._records = []


def read_fragments(folder: Path) -> Iterator[tuple[Path, pa.Table]]:
    """The sound fragments in the order in which their records count, each with its `IDENTITY` columns.

    What cannot be read as a fragment is set aside with a warning: its clips are done again.
    """
    for path in sorted(folder.glob("*.parquet"), key=_order):
        try:
            if pq.read_schema(path).names != FRAGMENT.names:
                raise pa.ArrowInvalid("it has other columns than a fragment")
            table = pq.read_table(path, columns=IDENTITY)
        except (pa.ArrowException, OSError) as error:
            log.warning("fragment %s is set aside and its clips are done again: %s", path.name, error)
            path.rename(path.with_suffix(".torn"))
        else:
            yield path, table


def _order(path: Path) -> tuple[int, str, int]:
    epoch, writer, seq = path.stem.split("-")
    return int(epoch), writer, int(seq)
