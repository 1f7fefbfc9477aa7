"""What goes wrong with a store, as the OSError that a disk would raise."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from recap.storage.address import Location, is_store

# Their errors have no base class in common with OSError.
_LIBRARIES = {"aiobotocore", "aiohttp", "botocore", "fsspec", "gcsfs", "google", "requests", "s3fs"}
# What is said of one file by a disk or a store that can be reached.
ANSWERS = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError)


def failure(error: BaseException) -> OSError | None:
    """`error` as an OSError; None for what is neither that nor a store's. A store that fails is `EIO`."""
    if _is_refusal(error):
        return PermissionError(errno.EACCES, str(error))
    if isinstance(error, OSError) and (isinstance(error, ANSWERS) or error.errno is not None):
        return error
    if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _LIBRARIES:
        return OSError(errno.EIO, str(error) or type(error).__name__)
    return None


def _is_refusal(error: BaseException) -> bool:
    """Whether it is gcsfs's word for a status of 401 or 403."""
    is_forbidden = isinstance(error, OSError) and error.errno is None and str(error).startswith("Forbidden")
    return is_forbidden or (type(error).__name__ == "HttpError" and str(getattr(error, "code", "")) in ("401", "403"))


@contextmanager
def store_errors(path: Location) -> Iterator[None]:
    """Raise an OSError that names `path` for whatever a store or its library raises; a disk's stay as they are."""
    try:
        yield
    except Exception as error:
        found = failure(error) if is_store(path) else None
        if found is None:
            raise
        if isinstance(found, ANSWERS):
            raise type(found)(found.errno or errno.EIO, _words(found), str(path)) from error
        raise OSError(errno.EIO, f"{path}: {_words(found)}") from error


def _words(error: OSError) -> str:
    return error.strerror or str(error)
