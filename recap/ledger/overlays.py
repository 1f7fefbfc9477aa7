"""What was made of captions must not outlive them: one that is made again may have another text."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress

from recap.ledger.committed import Committed
from recap.ledger.fragments import RETRY, is_mark, list_fragments, open_fragment, set_aside, write_retry
from recap.ledger.sealed import Torn
from recap.storage import Location, children, is_folder

log = logging.getLogger(__name__)


def overlay_folders(output: Location) -> list[Location]:
    """Every overlay, also those of other keys than the last run's."""
    return [path for path in children(output / "overlays") if is_folder(path)]


def forget_orphans(committed: Committed, overlays: Iterable[Location], caption_key: str, epoch: int) -> None:
    """Mark the records of `overlays` whose captions, of `caption_key`, were lost. Only under the lease."""
    snapshot, missing = committed.snapshot, committed.missing()
    for overlay in overlays if len(missing) else ():
        if _caption_key(overlay) != caption_key:
            continue
        made = Committed(snapshot, overlay, set_aside)
        orphans = missing[made.where[missing] >= 0]
        if len(orphans):
            log.warning(
                "%d clips lost their captions; what overlay %s has of them is made again", len(orphans), overlay.name
            )
            write_retry(overlay, epoch, snapshot.rows(orphans, snapshot.reader(RETRY.names)))


def _caption_key(overlay: Location) -> str | None:
    """Of the first record that can be read: all of an overlay are of one."""
    for path in list_fragments(overlay):
        with suppress(Torn):
            if not is_mark(path):
                return open_fragment(path).read_row_group(0, ["caption_key"])["caption_key"][0].as_py()
    return None
