"""From the words of a setting to something that can be opened."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from upath import UPath

Location: TypeAlias = "Path | UPath"
SILENCE_S = {"connect": 10, "read": 60}  # after which a store is asked again


def _s3() -> dict[str, Any]:
    timeouts = {f"{what}_timeout": seconds for what, seconds in SILENCE_S.items()}
    return {"config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": 8}} | timeouts}


def _gs() -> dict[str, Any]:
    from aiohttp import ClientTimeout

    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # what fails is raised to us
    return {"requests_timeout": ClientTimeout(**{f"sock_{what}": seconds for what, seconds in SILENCE_S.items()})}


# What a scheme's library is told.
SCHEMES: dict[str, Callable[[], dict[str, Any]]] = {"s3": _s3, "gs": _gs}


def location(address: str | Path) -> Location:
    """A local path (`~` is a home) or `file://` as `Path`; `s3://` and `gs://` as a path that works alike.

    Raises ValueError for another scheme, for one whose library is not installed, for no bucket, and for a home or
    host that is not known.
    """
    text = str(address)
    scheme, is_url, rest = text.partition("://")
    if not is_url or "/" in scheme:
        named, is_meant, _ = text.partition(":/")
        if is_meant and named in (*SCHEMES, "file"):
            raise ValueError(f"{text}: a URL of {named} begins with {named}://")
        return _at_home(Path(address))
    if scheme == "file":
        return _of_this_host(rest, text)
    if scheme not in SCHEMES:
        raise ValueError(f"{text}: storage {scheme}:// is not known; give a local path, file://, s3:// or gs://")
    if not rest.strip("/") or rest.startswith("/"):
        raise ValueError(f"{text}: no bucket is named; write {scheme}://bucket/folder")
    try:
        from upath import UPath

        # Listings must be fresh: other processes write too.
        path = UPath(text.rstrip("/"), use_listings_cache=False, **SCHEMES[scheme]())
        path.fs  # noqa: B018  loads the scheme's own library
    except ImportError as error:
        raise ValueError(
            f"{text}: {error}; install what {scheme}:// needs: pip install --editable '.[{scheme}]' in recap's checkout"
        ) from None
    return path


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}") from None


def _of_this_host(rest: str, address: str) -> Path:
    from urllib.request import url2pathname  # it would be most of what `recap --help` takes

    path = rest.removeprefix("localhost")
    if not path.startswith("/"):
        raise ValueError(f"{address}: file:// wants the whole path behind it, file:///folder/file")
    return Path(url2pathname(path))


def is_store(path: Location) -> bool:
    """Whether `path` is in an object store: no folders, no rename, no lock, and a request for every look."""
    return not isinstance(path, Path)


def resolved(path: Location) -> Location:
    """The same place, absolute and without links."""
    return path if is_store(path) else path.resolve()


def below(root: Location, uri: str) -> str:
    """The address of `uri` (relative) below `root`, which `location` understands."""
    return os.path.join(str(root), uri)
