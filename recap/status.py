"""Where a running or a dead run stands, read from beside it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from recap import ledger
from recap.records import QUARANTINED, STATUSES
from recap.storage import Location


@dataclass(frozen=True)
class Status:
    """The books of an output as its fragments have them now.

    `state` is `running` (somebody holds the lease), `died` (its holder never gave it back), `stopped`
    (clips remain, lack one of their languages, or are not in the shards) or `complete`. `untranslated` counts captioned
    clips without a language, where there are any. `holder` has epoch, pid, host and since. `last_commit_s` is how many
    seconds ago the newest fragment of captions or translations was written, `generation` what readers see; None where
    there is none.
    """

    output: str
    state: str
    holder: dict[str, Any] | None
    books: dict[str, int]
    untranslated: dict[str, int]
    reasons: dict[str, int]
    last_commit_s: float | None
    generation: str | None


def status(output: Location) -> Status:
    """Look at an output without taking its lease. Raises ValueError where no run has begun."""
    recipe = ledger.read_recipe(output)
    who, is_held = ledger.holder(output)
    folder = ledger.fragment_folder(output, recipe.keys["caption_key"])
    overlays = ledger.translation_folders(output, recipe.keys)
    snapshot = ledger.read_snapshot(output)
    committed = None if snapshot is None else ledger.observe(snapshot, folder)
    manifest = ledger.find_document(output, ledger.Manifest)
    is_current = manifest is not None and manifest.caption_key == recipe.keys["caption_key"]
    books, is_cut = _books(committed, asdict(manifest.reconciliation) if is_current else {})
    lacking = {}
    if committed is not None:
        lacking = ledger.untranslated(committed, overlays)
    return Status(
        output=str(output),
        state=_state(who is not None, is_held, is_cut and not books["remaining"] and not any(lacking.values())),
        holder=None if who is None else asdict(who),
        books=books,
        untranslated={language: clips for language, clips in lacking.items() if clips},
        reasons={} if committed is None else dict(sorted(committed.reasons().items())),
        last_commit_s=_last_commit_s((folder, *overlays.values())),
        generation=None if manifest is None else manifest.generation,
    )


def _books(committed: ledger.Committed | None, cut: Mapping[str, int]) -> tuple[dict[str, int], bool]:
    """What fragments say, and whether shards were cut from all of them; only then it is known what was filtered."""
    if committed is None:
        return dict.fromkeys(("clips", *STATUSES, "remaining"), 0), False
    books = committed.books()
    is_cut = all(books[name] == cut.get(name) for name in ("clips", QUARANTINED, "remaining"))
    return {name: cut[name] for name in books} if is_cut else books, is_cut


def _state(has_holder: bool, is_held: bool, is_complete: bool) -> str:
    if is_held:
        return "running"
    if has_holder:
        return "died"
    return "complete" if is_complete else "stopped"


def _last_commit_s(folders: Iterable[Location]) -> float | None:
    times = []
    for path in chain.from_iterable(map(ledger.newest_fragments, folders)):
        with suppress(FileNotFoundError):  # merged away meanwhile
            times.append(path.stat().st_mtime)
    return round(max(0.0, time.time() - max(times)), 1) if times else None
