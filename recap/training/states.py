"""What a training finds: the checkpoint to start from, its own last state, a DeepSpeed configuration by its name."""

from __future__ import annotations

import json
from pathlib import Path

from transformers.trainer_utils import sort_checkpoints

from recap.training.settings import StartSettings

_SHIPPED = Path(__file__).with_name("deepspeed")


def fetch_start(model: StartSettings) -> list[Path]:
    """The folders of `model.checkpoint` and, where there is one, `model.base`; hub ids are downloaded."""
    from recap.pllava.hub import resolve_checkpoint

    folders = [resolve_checkpoint(model.checkpoint, model.revision)]
    return folders + ([resolve_checkpoint(model.base)] if model.base else [])


def last_state(folder: Path) -> str | None:
    """The newest state in `folder` that was saved to its end; a kill may have left a later one behind in part."""
    return next((state for state in reversed(sort_checkpoints(str(folder))) if _is_whole(Path(state))), None)


def _is_whole(state: Path) -> bool:
    try:
        json.loads((state / "trainer_state.json").read_text(encoding="utf-8"))  # written last
    except (OSError, ValueError):
        return False
    return True


def deepspeed_file(name: str | None) -> str | None:
    """The JSON file that `train.deepspeed` means: a path, or the name of one that ships with recap.

    ValueError when there is none.
    """
    if name is None:
        return None
    for path in (Path(name).expanduser(), _SHIPPED / f"{name}.json"):
        if path.is_file():
            return str(path)
    raise ValueError(
        f"train.deepspeed: there is no file {name}, and recap itself has "
        f"{', '.join(sorted(path.stem for path in _SHIPPED.iterdir()))}"
    )
