"""The clips' own files, which tars may hold."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import pyarrow as pa

from recap.ledger import Snapshot
from recap.ledger.rows import RowReader
from recap.storage import ANSWERS, Location, ahead, is_cut_off, read_bytes

READERS = 8
VERSION = "\0source_version"  # no column of a caller
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Videos:
    """The files of a snapshot's clips, below `root`."""

    root: Location
    snapshot: Snapshot

    def with_versions(self, rows: pa.Table) -> pa.Table:
        """The rows, and behind their columns which version of its file the snapshot has of each."""
        versions = self.snapshot.rows(rows["ordinal"].to_numpy(), self._reader)["source_version"]
        return rows.append_column(VERSION, versions.combine_chunks())

    @cached_property
    def _reader(self) -> RowReader:
        return self.snapshot.reader(["source_version"])


def read_videos(root: Location, rows: pa.Table) -> Iterator[tuple[Mapping[str, bytes], bool]]:
    """What `read_video` gives of each row `with_versions`, in order, and whether it is as long as its version says."""
    sizes = [version.split("-")[0] for version in rows[VERSION].to_pylist()]
    for size, files in zip(sizes, ahead(partial(read_video, root), rows["uri"].to_pylist(), READERS), strict=True):
        yield files, [str(len(data)) for data in files.values()] == [size]


def read_video(root: Location, uri: str) -> Mapping[str, bytes]:
    """A clip's file under its extension, or `video`; nothing where it is gone by now.

    Raises OSError where it cannot be told whether it is.
    """
    path = root / uri
    extension = path.suffix[1:].lower()
    try:
        return {"video" if extension in ("", "txt", "json") else extension: read_bytes(path)}
    except OSError as error:
        if not isinstance(error, ANSWERS) or is_cut_off(path):
            said = f"{path} cannot be read for its shard ({error.strerror}); is the corpus still in reach?"
            raise OSError(errno.EIO, said) from error
        log.warning("%s is not in its shard: %s", path.name, error.strerror)
        return {}
