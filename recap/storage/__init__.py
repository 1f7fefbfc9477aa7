"""Where files lie: on a disk, or as objects in a store that is named by a URL."""

from recap.storage.address import SCHEMES, Location, below, is_store, location, resolved
from recap.storage.ahead import ahead
from recap.storage.archives import Member, file_of, in_archive, member_address, members
from recap.storage.errors import ANSWERS, failure, store_errors
from recap.storage.fetching import Fetcher
from recap.storage.listing import StoredVersions, stored_files
from recap.storage.reading import children, is_cut_off, is_folder, read_bytes, source
from recap.storage.scratch import abandon_scratch, scratch
from recap.storage.spilling import spilled, spilled_zeros
from recap.storage.writing import (
    abort_uploads,
    copy,
    create,
    remove,
    remove_tree,
    rename,
    sync,
    upload,
    write_atomically,
    written,
)

__all__ = [
    "ANSWERS",
    "SCHEMES",
    "Fetcher",
    "Location",
    "Member",
    "StoredVersions",
    "abandon_scratch",
    "abort_uploads",
    "ahead",
    "below",
    "children",
    "copy",
    "create",
    "failure",
    "file_of",
    "in_archive",
    "is_cut_off",
    "is_folder",
    "is_store",
    "location",
    "member_address",
    "members",
    "read_bytes",
    "remove",
    "remove_tree",
    "rename",
    "resolved",
    "scratch",
    "source",
    "spilled",
    "spilled_zeros",
    "store_errors",
    "stored_files",
    "sync",
    "upload",
    "write_atomically",
    "written",
]
