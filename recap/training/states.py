"""What a training finds: the checkpoint to start from, a DeepSpeed configuration by its name."""

from __future__ import annotations

from pathlib import Path

from recap.training.settings import StartSettings

_SHIPPED = Path("pipelines/train")


def fetch_start(model: StartSettings) -> list[Path]:
    """The folders of `model.checkpoint` and, where there is one, `model.base`; hub ids are downloaded."""
    from recap.pllava.hub import resolve_checkpoint

    folders = [resolve_checkpoint(model.checkpoint, model.revision)]
    return folders + ([resolve_checkpoint(model.base)] if model.base else [])


def deepspeed_file(name: str | None) -> str | None:
    """The JSON file that `train.deepspeed` means: a path, or the name of one that ships with the pipelines.

    ValueError when there is none.
    """
    if name is None:
        return None
    for path in (Path(name).expanduser(), _SHIPPED / f"{name}.json"):
        if path.is_file():
            return str(path)
    raise ValueError(
        f"train.deepspeed: there is no file {name}, and {_SHIPPED} has "
        f"{', '.join(sorted(path.stem for path in _SHIPPED.glob('zero*.json'))) or 'no configuration here'}"
    )
