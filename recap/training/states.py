"""What a training finds: the checkpoint to start from, its own last state and what that is of, a DeepSpeed file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers.trainer_utils import sort_checkpoints

from recap.pllava import weight_digest
from recap.training.recipe import Recipe, as_dict
from recap.training.settings import StartSettings

BEGAN = "training.json"
_SHIPPED = Path(__file__).with_name("deepspeed")
# What of `train` may be another where a training goes on: its length, how a batch is parted, and when something is
# written. So may `data` and `decode`, by which bad samples are mended.
_FREE = {"max_steps", "epochs", "batch_size", "gradient_checkpointing", "log_every_steps", "save_every_steps"}


def fetch_start(model: StartSettings) -> list[Path]:
    """The folders of `model.checkpoint` and, where there is one, `model.base`; hub ids are downloaded."""
    from recap.pllava.hub import resolve_checkpoint

    folders = [resolve_checkpoint(model.checkpoint, model.revision)]
    return folders + ([resolve_checkpoint(model.base)] if model.base else [])


def refuse_captions(output: Path) -> None:
    """ValueError where `output` is that of a `recap run`, whose files a training's would stand among."""
    recipe = output / "recipe.json"
    if recipe.is_file() and b'"contract"' in recipe.read_bytes():
        raise ValueError(f"output.path: {output} is the output of a captioning; name another folder")


def last_state(folder: Path) -> str | None:
    """The newest state in `folder` that was saved to its end; a kill may have left a later one behind in part."""
    return next((state for state in reversed(sort_checkpoints(str(folder))) if _is_whole(Path(state))), None)


def _is_whole(state: Path) -> bool:
    try:
        json.loads((state / "trainer_state.json").read_text(encoding="utf-8"))  # written last
    except (OSError, ValueError):
        return False
    return True


def lasting_settings(recipe: Recipe, folders: Sequence[Path]) -> dict[str, Any]:
    """What every state of a training is of: settings by their dotted names, and the weights in `folders`."""
    given = as_dict(recipe)
    model = {name: given["model"][name] for name in ("lora_alpha", "scratch", "pooling")}
    train = {name: value for name, value in given["train"].items() if name not in _FREE}
    if file := deepspeed_file(recipe.train.deepspeed):
        train["deepspeed"] = json.loads(Path(file).read_text(encoding="utf-8"))
    named = dict(_named({"model": model, "frames": given["frames"], "train": train}))
    return named | {"weights": "+".join(map(weight_digest, folders))}


def _named(settings: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _named(value, f"{section}{name}.")
        else:
            yield section + name, value


def check_same(folder: Path, began: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """ValueError that says what is another where the training in `folder` `began` with other settings than `asked`."""
    names = [name for name in {**began, **asked} if began.get(name) != asked.get(name)]
    if names:
        changes = ", ".join(f"{name} {began.get(name)}, not {asked.get(name)}" for name in names)
        raise ValueError(f"{folder} holds a training with {changes}; go on as it began or name a new folder")


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
