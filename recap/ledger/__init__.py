"""The storage contract: what is written, what counts as done, and who may write."""

from recap.ledger.committed import Committed, observe, untranslated
from recap.ledger.compaction import compact
from recap.ledger.documents import Shard
from recap.ledger.files import (
    OUTPUT_ERRORS,
    RUN_AGAIN,
    Damaged,
    OutputFailed,
    output_errors,
    read_json,
    shaped,
    sweep,
    write_json,
)
from recap.ledger.fragments import FragmentWriter, pass_over, read_fragments, set_aside, write_retry
from recap.ledger.growth import Growth, foresee_snapshot, update_snapshot
from recap.ledger.keys import Keys, differences, key_of
from recap.ledger.lease import Holder, holder, lease, require_lease
from recap.ledger.overlays import forget_orphans, overlay_folders
from recap.ledger.recipe import (
    TRANSLATION_KEY,
    check_owner,
    fragment_folder,
    overlay_folder,
    read_document,
    read_manifest,
    read_recipe,
    translation_folders,
    write_recipe,
)
from recap.ledger.schema import captions_of, refuse_reserved
from recap.ledger.sealed import CONTRACT
from recap.ledger.snapshot import Snapshot, part_paths, read_snapshot

__all__ = [
    "CONTRACT",
    "OUTPUT_ERRORS",
    "RUN_AGAIN",
    "TRANSLATION_KEY",
    "Committed",
    "Damaged",
    "FragmentWriter",
    "Growth",
    "Holder",
    "Keys",
    "OutputFailed",
    "Shard",
    "Snapshot",
    "captions_of",
    "check_owner",
    "compact",
    "differences",
    "foresee_snapshot",
    "forget_orphans",
    "fragment_folder",
    "holder",
    "key_of",
    "lease",
    "observe",
    "output_errors",
    "overlay_folder",
    "overlay_folders",
    "part_paths",
    "pass_over",
    "read_document",
    "read_fragments",
    "read_json",
    "read_manifest",
    "read_recipe",
    "read_snapshot",
    "refuse_reserved",
    "require_lease",
    "set_aside",
    "shaped",
    "sweep",
    "translation_folders",
    "untranslated",
    "update_snapshot",
    "write_json",
    "write_recipe",
    "write_retry",
]
