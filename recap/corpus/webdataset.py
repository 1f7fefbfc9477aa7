"""A corpus that is a folder of tars, as webdataset and video2dataset write them."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from functools import partial

from recap.corpus.endings import ending, is_tar, is_video
from recap.corpus.entry import Entry
from recap.corpus.folder import files_below, is_utf8
from recap.corpus.passed_over import PassedOver
from recap.corpus.settings import CorpusSettings
from recap.corpus.wording import shown
from recap.storage import ANSWERS, Location, Member, ahead, is_store, location, member_address, members

READERS = 16


def webdataset_entries(settings: CorpusSettings, passed: PassedOver) -> Iterator[Entry]:
    """Every video in the tars below `corpus.path` that match `corpus.pattern`, tar by tar, in the order it lies there.

    `passed` counts what is left out. Raises ValueError for a folder that is missing and for names that are not UTF-8.
    """
    tars = files_below(settings, passed, is_tar)
    for tar, found, fault in ahead(partial(_listed, location(settings.path)), tars, READERS):
        if fault:
            passed.torn.add(f"{shown(tar.uri)}: {fault}")
        for member in found:
            if passed.takes(member.name, is_video):
                yield _entry(tar, member, settings.trust_size)


def _entry(tar: Entry, member: Member, trust_size: bool) -> Entry:
    if not is_utf8(member.name):
        raise ValueError(
            f"corpus.path: {shown(member.name)} in {tar.uri} has a name that is not UTF-8: write the tar anew, or "
            "leave it out by corpus.pattern"
        )
    version = f"{member.size}" if trust_size else f"{member.size}-{tar.source_version}"
    return Entry(member_address(tar.uri, member.name), source_version=version)


def _listed(root: Location, tar: Entry) -> tuple[Entry, list[Member], str]:
    """The tar, the files in it, and why these are not all."""
    if ending(tar.uri) != ".tar":
        return tar, [], "it is compressed, and no file is read from the middle of such: unpack it"
    found, fault = [], ""
    try:
        for member in members(root / tar.uri):
            found.append(member)
    except tarfile.TarError as error:
        fault = str(error)
    except OSError as error:
        if is_store(root) and not isinstance(error, ANSWERS):
            raise
        fault = error.strerror or str(error)
    return tar, found, fault
