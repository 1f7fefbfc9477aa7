"""The clips' own files, which tars may hold."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from recap.ledger import Snapshot
from recap.storage import ANSWERS, Location, is_cut_off, read_bytes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Videos:
    """The files of a snapshot's clips, below `root`."""

    root: Location
    snapshot: Snapshot

    def versions(self, rows: pa.Table) -> pa.Table:
        """Which version of its file the snapshot has of each row."""
        return self.snapshot.rows(rows["ordinal"].to_numpy(), self.snapshot.reader(["source_version"]))

    def read(self, uri: str) -> Mapping[str, bytes]:
        """A clip's file under its extension, or `video`; nothing where it is gone by now.

        Raises OSError where it cannot be told whether it is.
        """
        path = self.root / uri
        extension = path.suffix[1:].lower()
        try:
            return {"video" if extension in ("", "txt", "json") else extension: read_bytes(path)}
        except OSError as error:
            if not isinstance(error, ANSWERS) or is_cut_off(path.parent):
                said = f"{path} cannot be read for its shard ({error.strerror}); is the corpus still in reach?"
                raise OSError(errno.EIO, said) from error
            log.warning("%s is not in its shard: %s", path.name, error.strerror)
            return {}
