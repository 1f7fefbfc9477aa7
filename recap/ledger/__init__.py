"""The storage contract: what is written, what counts as done, and who may write."""

from recap.ledger.committed import Committed
from recap.ledger.files import read_json, sweep, write_json
from recap.ledger.fragments import FragmentWriter
from recap.ledger.keys import key_of
from recap.ledger.lease import lease
from recap.ledger.recipe import CONTRACT, check_owner, read_manifest, write_recipe
from recap.ledger.schema import refuse_reserved
from recap.ledger.snapshot import clips_of, present, read_snapshot, update_snapshot

__all__ = [
    "CONTRACT",
    "Committed",
    "FragmentWriter",
    "check_owner",
    "clips_of",
    "key_of",
    "lease",
    "present",
    "read_json",
    "read_manifest",
    "read_snapshot",
    "refuse_reserved",
    "sweep",
    "update_snapshot",
    "write_json",
    "write_recipe",
]
