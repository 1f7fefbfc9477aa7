"""Checkpoint folders: as they stand, or a hub id as its downloaded snapshot."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

# Checkpoints that come with the package, by the name that settings call them; a folder of that name is `./name`.
_POCKET = Path(__file__).parents[1] / "pocket"
_SHIPPED = {"pocket": _POCKET / "checkpoint", "pocket-en-zh": _POCKET / "translator"}
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def named_folder(checkpoint: str | Path) -> Path:
    """The folder that `checkpoint` means where it is no hub id; it need not exist."""
    return _SHIPPED.get(str(checkpoint)) or Path(checkpoint).expanduser()


def is_hub_id(name: str | Path) -> bool:
    """Whether `name` is written as owner/name, which a folder may be too."""
    return bool(_HUB_ID.fullmatch(str(name)))


def misnamed(name: str) -> str | None:
    """Why `name` can be no checkpoint, neither a folder nor a hub id; None where it may be one."""
    folder = named_folder(name)
    if folder.is_dir() or (is_hub_id(name) and not folder.exists()):
        return None
    near = get_close_matches(name.lower(), _SHIPPED, 1, 0.75)
    return f"there is no folder {name}, and it is no hub id (owner/name)" + (
        f"; did you mean {near[0]}?" if near else ""
    )


def absolute_name(name: str | None) -> str | None:
    """`name` for a process that works in another folder: a hub id, or the name of something shipped, stays as it is."""
    if not name or name in _SHIPPED or not Path(name).expanduser().exists():
        return name
    return os.path.abspath(Path(name).expanduser())


def resolve_checkpoint(
    checkpoint: str, revision: str | None = None, *, weights: bool = True, also: Sequence[str] = ()
) -> Path:
    """The folder of `checkpoint`: itself, else the hub's snapshot, fetched where it is not cached.

    Without `weights` that is the config and the tokenizer only; `also` names further files to fetch. ValueError
    for what is neither a folder nor on the hub.
    """
    if not checkpoint:
        raise ValueError("model.checkpoint is not set: give a folder or hub id, or engine.kind: rehearsal")
    folder = named_folder(checkpoint)
    if folder.is_dir():
        return folder
    if said := misnamed(checkpoint):
        raise ValueError(said)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.model"] if weights else ["config.json", "tokenizer*.json"]
    try:
        return Path(snapshot_download(checkpoint, revision=revision, allow_patterns=[*wanted, *also]))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        place = f"{checkpoint!r}" + (f" at revision {revision!r}" if revision else "")
        raise ValueError(f"{place} is no checkpoint folder here, and the hub gave none: {error}") from error
