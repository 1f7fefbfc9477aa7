"""The training YAML as typed settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recap.pllava.hub import absolute_name
from recap.training.settings import (
    DataSettings,
    StartSettings,
    TrainOutputSettings,
    TrainRaySettings,
    TrainSettings,
)
from recap.typed import Typed
from recap.video.settings import DecodeSettings, FramesSettings

# What only a pipeline reads of `decode`, and what a training has in its place.
_LOCAL = "media are local files"
_NOT_READ = {"workers": "say data.workers", "fetch_folder": _LOCAL, "fetch_gb": _LOCAL}


@dataclass(frozen=True)
class Recipe:
    """Everything that one training needs to know."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}

    model: StartSettings
    """What training starts from."""
    data: DataSettings
    """What is learnt from."""
    output: TrainOutputSettings
    """Where the result goes."""
    frames: FramesSettings = field(default_factory=FramesSettings)
    """What the model sees of a clip."""
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    """How video files are read."""
    train: TrainSettings = field(default_factory=TrainSettings)
    """How it is learnt."""
    ray: TrainRaySettings = field(default_factory=TrainRaySettings)
    """Training on a Ray cluster."""

    def __post_init__(self) -> None:
        for name, instead in _NOT_READ.items():
            if getattr(self.decode, name) != getattr(DecodeSettings, name):
                raise ValueError(f"decode.{name} is not read in a training: leave it out, {instead}")
        output = Path(_resolved(self.output.path))
        for each in self.data.sets:
            if output.is_relative_to(_resolved(each.path)):
                raise ValueError(
                    f"output.path {output} lies in {each.path}, of which data.sets reads every .json file: "
                    "name a folder outside"
                )


_TYPED = Typed(Recipe)
as_dict = _TYPED.as_dict


def json_schema() -> dict[str, Any]:
    """The training YAML's JSON schema, for editors."""
    schema = _TYPED.json_schema()
    for name in _NOT_READ:
        del schema["$defs"]["DecodeSettings"]["properties"][name]
    return schema


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a training YAML with dotted `key=value` overrides; ValueError names every problem with its line."""
    return _TYPED.load(path, overrides)


def absolute(recipe: Recipe) -> Recipe:
    """The same recipe for a process that works in another folder."""
    sets = tuple(
        replace(each, path=_resolved(each.path), root=each.root and _resolved(each.root)) for each in recipe.data.sets
    )
    model, base, deepspeed = recipe.model, absolute_name(recipe.model.base), recipe.train.deepspeed
    if deepspeed and Path(deepspeed).expanduser().is_file():  # else it is the name of one that ships with recap
        deepspeed = _resolved(deepspeed)
    return replace(
        recipe,
        model=replace(model, checkpoint=absolute_name(model.checkpoint), base=base),
        data=replace(recipe.data, sets=sets),
        train=replace(recipe.train, deepspeed=deepspeed),
        output=replace(recipe.output, path=_resolved(recipe.output.path)),
    )


def _resolved(path: str) -> str:
    return str(Path(path).expanduser().resolve())
