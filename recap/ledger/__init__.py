"""The storage contract: what is written, what counts as done, and who may write."""

from recap.ledger.committed import Committed, observe, untranslated
from recap.ledger.compaction import compact
from recap.ledger.documents import Books, FlagCounts, Manifest, Recipe, Shard, TranslationLine
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
from recap.ledger.fragments import (
    FragmentWriter,
    newest_fragments,
    newest_records,
    pass_over,
    read_fragments,
    set_aside,
    write_retry,
)
from recap.ledger.growth import Growth, compare, foresee_snapshot, grow, update_snapshot
from recap.ledger.keys import Keys, differences, key_of
from recap.ledger.lease import holder, lease, require_lease
from recap.ledger.overlays import forget_orphans, overlay_folders
from recap.ledger.recipe import (
    TRANSLATION_KEY,
    check_owner,
    find_document,
    fragment_folder,
    overlay_folder,
    read_manifest,
    read_recipe,
    translation_folders,
    write_manifest,
    write_recipe,
)
from recap.ledger.schema import RESERVED, captions_of
from recap.ledger.sealed import CONTRACT
from recap.ledger.snapshot import Snapshot, part_paths, read_snapshot

__all__ = [
    "CONTRACT",
    "OUTPUT_ERRORS",
    "RESERVED",
    "RUN_AGAIN",
    "TRANSLATION_KEY",
    "Books",
    "Committed",
    "Damaged",
    "FlagCounts",
    "FragmentWriter",
    "Growth",
    "Keys",
    "Manifest",
    "OutputFailed",
    "Recipe",
    "Shard",
    "Snapshot",
    "TranslationLine",
    "captions_of",
    "check_owner",
    "compact",
    "compare",
    "differences",
    "find_document",
    "foresee_snapshot",
    "forget_orphans",
    "fragment_folder",
    "grow",
    "holder",
    "key_of",
    "lease",
    "newest_fragments",
    "newest_records",
    "observe",
    "output_errors",
    "overlay_folder",
    "overlay_folders",
    "part_paths",
    "pass_over",
    "read_fragments",
    "read_json",
    "read_manifest",
    "read_recipe",
    "read_snapshot",
    "require_lease",
    "set_aside",
    "shaped",
    "sweep",
    "translation_folders",
    "untranslated",
    "update_snapshot",
    "write_json",
    "write_manifest",
    "write_recipe",
    "write_retry",
]
