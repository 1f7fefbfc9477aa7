"""Files that are either wholly there or not there at all.

On a disk: written aside, flushed, renamed. In a store: one PUT, or one multipart upload, of which
nothing can be seen before its end.
"""

from __future__ import annotations

import glob
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recap.storage.address import Location, is_store
from recap.storage.errors import store_errors
from recap.storage.scratch import scratch

log = logging.getLogger(__name__)


def write_atomically(path: Location, data: bytes) -> None:
    """Let `path` hold `data`. Raises OSError; then it is as it was before, or a power cut may cost what it holds."""
    if is_store(path):
        with store_errors(path):
            path.fs.pipe_file(path.path, data)
        return
    with written(path) as aside:
        aside.write_bytes(data)


@contextmanager
def written(path: Location) -> Iterator[Path]:
    """A local file to fill: `path` holds what it does when the context ends well, and else what it held before.

    What a link leads to is replaced, not the link; a pipe or a device is written to.
    """
    if is_store(path) or _is_device(path):
        with scratch("recap-write-") as folder:
            yield (file := folder / path.name)
            upload(file, path)
        return
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield aside
        sync(aside)
        os.replace(aside, path)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)  # a full disk does not say which
        raise
    finally:
        aside.unlink(missing_ok=True)
    sync(path.parent)


def create(path: Location, data: bytes) -> None:
    """`write_atomically` of an object that nobody else has written: of several who try, one succeeds.

    Raises FileExistsError.
    """
    with store_errors(path):
        path.fs.pipe_file(path.path, data, mode="create")


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


def upload(file: Path, path: Location) -> None:
    """Let the object `path` hold what the local `file` does, or give that to a pipe or device."""
    if not is_store(path):
        path.write_bytes(file.read_bytes())
        return
    with store_errors(path):
        path.fs.put_file(str(file), path.path)


def copy(path: Location, target: Location) -> None:
    """The object `path` under another name too; the store copies it within itself."""
    with store_errors(path):
        path.fs.cp_file(path.path, target.path)


def rename(path: Location, target: Location) -> None:
    """Give a file another name; in a store a moment may show both."""
    if not is_store(path):
        path.rename(target)
        return
    copy(path, target)
    with store_errors(path):
        path.fs.rm_file(path.path)


def remove(files: Sequence[Location]) -> None:
    """Delete some files of one folder; a store takes hundreds by one request."""
    if not files or not is_store(files[0]):
        for file in files:
            file.unlink()
        return
    with store_errors(files[0].parent):
        if glob.has_magic(files[0].path):
            for file in files:
                file.fs.rm_file(file.path)
        else:
            files[0].fs.rm([file.path for file in files])


def remove_tree(folder: Location) -> None:
    """Delete all that is below `folder`, as far as it can be deleted."""
    if not is_store(folder):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        with store_errors(folder):
            _remove_objects(folder)


def _remove_objects(folder: Location) -> None:
    if not glob.has_magic(folder.path):
        folder.fs.rm(folder.path, recursive=True)
        return
    for name in folder.fs.find(folder.path):  # `rm` would take the folder's own name for a pattern
        folder.fs.rm_file(name)


def abort_uploads(folder: Location) -> None:
    """End the multipart uploads that a killed process left open below `folder`: they cost, and nobody sees them.

    Where the store does not let us, they stay.
    """
    if not hasattr(folder.fs, "call_s3"):
        return
    bucket, _, prefix = f"{folder.path.rstrip('/')}/".partition("/")
    try:
        with store_errors(folder):
            for found in _open_uploads(folder.fs, Bucket=bucket, Prefix=prefix):
                about = {"Bucket": bucket, "Key": found["Key"], "UploadId": found["UploadId"]}
                folder.fs.call_s3("abort_multipart_upload", **about)
    except OSError as error:
        log.info("uploads that a killed process left open, if there are any, stay: %s", error)


def _open_uploads(s3: Any, **where: str) -> Iterator[dict[str, Any]]:
    markers: dict[str, str] | None = {}
    while markers is not None:
        page = s3.call_s3("list_multipart_uploads", **where, **markers)
        yield from page.get("Uploads", ())
        found = {name: page[f"Next{name}"] for name in ("KeyMarker", "UploadIdMarker") if page.get(f"Next{name}")}
        markers = found if found and page.get("IsTruncated") else None


def sync(path: Path) -> None:
    """Flush a file, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
