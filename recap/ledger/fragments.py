"""Committed records: how they get to the disk and how they are read back."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from threading import Lock, Timer
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recap.ledger.schema import FRAGMENT, fragment_table
from recap.ledger.sealed import Torn, open_sealed, write_sealed
from recap.records import Record
from recap.storage import Location, ahead, children, rename
from recap.timing import Timing

log = logging.getLogger(__name__)
READERS = 16
FLUSH_ROWS = 4096
IDENTITY = ["clip_id", "source_version", "status", "error_stage", "error_kind"]
RETRY = pa.schema([("clip_id", pa.string()), ("source_version", pa.string())])
_NAME = re.compile(r"(\d{6,})-([^-]+)-(\d{6,})\.(parquet|retry|retry\.torn)")


class FragmentWriter:
    """Collects the records of one worker and commits them as fragments.

    A crash costs what was appended since the last commit: at most `flush_s` seconds or `flush_rows`
    records, whichever comes first. So a slow worker writes a file every `flush_s` and a fast one a
    file for many records.
    """

    def __init__(
        self,
        folder: Location,
        epoch: int,
        writer: str,
        flush_s: float,
        flush_rows: int = FLUSH_ROWS,
        timing: Timing | None = None,
    ):
        assert "-" not in writer, writer
        self.folder, self.epoch, self.writer = folder, epoch, writer
        self.flush_s, self.flush_rows = flush_s, flush_rows
        self._timing = timing or Timing("caption")
        self._records: list[Record] = []
        self._failure: Exception | None = None
        self._timer = Timer(0, self.flush)
        self._seq = 0
        self._lock = Lock()

    def append(self, record: Record) -> None:
        """Take a record; commits when enough records or seconds have gathered.

        Raises what an earlier commit, or this one, failed with: nothing is lost silently.
        """
        with self._lock:
            self._raise_failure()
            if not self._records:
                self._start_timer()
            self._records.append(record)
            if len(self._records) >= self.flush_rows:
                self._commit()

    def flush(self) -> None:
        """Commit what was appended. Raises as `append` does."""
        with self._lock:
            self._raise_failure()
            if self._records:
                self._commit()

    def close(self) -> None:
        """Commit nothing by itself any more: what was not flushed is lost, as by a crash."""
        with self._lock:
            self._records = []
            self._timer.cancel()

    @property
    def pending(self) -> int:
        """How many records a crash would cost now. Raises as `append` does."""
        with self._lock:
            self._raise_failure()
            return len(self._records)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _start_timer(self) -> None:
        self._timer = Timer(self.flush_s, self._flush_in_time)
        self._timer.daemon = True
        self._timer.start()

    def _flush_in_time(self) -> None:
        try:
            self.flush()
        except Exception:  # kept for whoever appends next
            log.exception("a commit failed")

    def _commit(self) -> None:
        self._timer.cancel()
        path = self.folder / f"{self.epoch:06d}-{self.writer}-{self._seq:06d}.parquet"
        try:
            with self._timing.phase("commit"):
                write_sealed(path, fragment_table(self._records))
        except Exception as error:
            self._failure = error
            raise
        self._seq += 1
        self._records = []


def write_retry(folder: Location, epoch: int, clips: pa.Table) -> None:
    """Mark `clips` (columns of `RETRY`): the records of earlier epochs that they have no longer count."""
    marks = (folder / f"{epoch:06d}-retry-{number:06d}.retry" for number in count())
    write_sealed(next(mark for mark in marks if not mark.exists()), clips.select(RETRY.names).cast(RETRY))


@dataclass(frozen=True)
class Fragment:
    """A sound file of the folder: records, or (`is_retry`) a mark. `table` has its `IDENTITY` or `RETRY` columns.

    Of a mark that `is_torn` it is not known which clips it marked, but still where it stands: `table` is empty.
    """

    path: Location
    is_retry: bool
    table: pa.Table
    is_torn: bool = False


def set_aside(path: Location, reason: str) -> None:
    """Rename what is no fragment to `.torn`, with a warning. Only under the lease."""
    if is_mark(path):
        log.warning("%s is set aside: %s; retry what it marked and was not done again yet", path.name, reason)
    else:
        log.warning("fragment %s is set aside and its clips are done again: %s", path.name, reason)
    rename(path, path.with_name(path.name + ".torn"))


def pass_over(path: Location, reason: str) -> None:
    """Leave what is no fragment where it is, with a warning."""
    log.warning("fragment %s does not count: %s", path.name, reason)


def read_fragments(folder: Location, on_torn: Callable[[Location, str], None] = pass_over) -> Iterator[Fragment]:
    """The sound files in the order in which they count, and marks that are torn.

    What cannot be read as a fragment is handed to `on_torn`, unless it was set aside before. Raises
    ValueError for one that a newer recap wrote.
    """
    for path, found in ahead(_attempt, list_fragments(folder, on_torn), READERS):
        if isinstance(found, Fragment):
            yield found
            continue
        if path.suffix != ".torn":
            on_torn(path, str(found))
        if is_mark(path):
            yield Fragment(path, True, RETRY.empty_table(), is_torn=True)


def _attempt(path: Location) -> tuple[Location, Fragment | Torn]:
    is_retry = is_mark(path)
    try:
        table = open_fragment(path).read(RETRY.names if is_retry else IDENTITY)
    except Torn as error:
        return path, error
    return path, Fragment(path, is_retry, table)


def open_fragment(path: Location) -> pq.ParquetFile:
    """A fragment or a mark, every byte of it checked. Raises Torn and ValueError as `open_sealed` does."""
    try:
        file = open_sealed(path)
    except IsADirectoryError:
        raise Torn("it is a folder") from None
    if file.schema_arrow.names != (RETRY if is_mark(path) else FRAGMENT).names:
        raise Torn("it has other columns")
    return file


def list_fragments(folder: Location, on_torn: Callable[[Location, str], None] = pass_over) -> list[Location]:
    """The files that are named like fragments or marks, torn marks too, in the order in which they count."""
    paths = children(folder)
    for path in paths:
        if path.suffix in (".parquet", ".retry") and not _NAME.fullmatch(path.name):
            on_torn(path, "it is not named like one")
    return sorted((path for path in paths if _NAME.fullmatch(path.name)), key=fragment_order)


def newest_fragments(folder: Location) -> list[Location]:
    """The last one of each writer of the newest epoch."""
    newest: dict[tuple[int, str], Location] = {}
    for path in list_fragments(folder, lambda *_: None):
        if not is_mark(path):
            epoch, _, writer, _ = fragment_order(path)
            newest[epoch, writer] = path
    last = max(newest, default=(0, ""))[0]
    return [path for (epoch, _), path in newest.items() if epoch == last]


def newest_records(folder: Location, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """`columns` of committed records, about the newest first, a clip once; read without the lease.

    Also of those that do not count any more, as their clips were marked for a retry or are in another version.
    """
    seen: set[str] = set()
    paths = (path for path in list_fragments(folder, lambda *_: None) if not is_mark(path))
    for path in sorted(paths, key=_age, reverse=True):
        with suppress(Torn, FileNotFoundError):  # merged away meanwhile
            for row in reversed(open_fragment(path).read(["clip_id", *columns]).to_pylist()):
                if row["clip_id"] not in seen:
                    seen.add(row["clip_id"])
                    yield row


def _age(path: Location) -> tuple[int, int, str]:
    epoch, _, writer, sequence = fragment_order(path)
    return epoch, sequence, writer


def is_mark(path: Location) -> bool:
    """Whether a fragment is a retry mark, by its name; also one that was set aside."""
    return ".retry" in path.suffixes[-2:]


def fragment_order(path: Location) -> tuple[int, bool, str, int]:
    """Where a fragment stands among the others: epoch, in which a mark is first, writer, sequence."""
    match = _NAME.fullmatch(path.name)
    assert match, path
    return int(match[1]), match[4] == "parquet", match[2], int(match[3])
