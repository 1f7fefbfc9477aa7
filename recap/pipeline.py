"""The YAML as typed settings. Each room owns its section; this file composes and validates them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recap.corpus.settings import CorpusSettings
from recap.engines.settings import EngineSettings, ModelSettings, PromptSettings
from recap.graph.settings import RaySettings
from recap.pllava.hub import absolute_name
from recap.review.settings import ReviewSettings
from recap.shards.settings import OutputSettings
from recap.source import SettingsSource, read_source
from recap.storage import Location, is_store, location
from recap.translation.settings import TranslationSettings
from recap.typed import Typed
from recap.video.settings import DecodeSettings, FramesSettings


@dataclass(frozen=True)
class Pipeline:
    """Everything that one run needs to know."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}

    corpus: CorpusSettings
    """Where clips come from."""
    output: OutputSettings
    """What is delivered, and where."""
    model: ModelSettings = field(default_factory=ModelSettings)
    """Which PLLaVA captions the clips."""
    frames: FramesSettings = field(default_factory=FramesSettings)
    """What the model sees of a clip."""
    prompt: PromptSettings = field(default_factory=PromptSettings)
    """What the model is asked."""
    engine: EngineSettings = field(default_factory=EngineSettings)
    """What runs the model, and how captions are decoded."""
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    """How video files are read."""
    translation: TranslationSettings = field(default_factory=TranslationSettings)
    """Which languages captions are put into, and by what."""
    review: ReviewSettings = field(default_factory=ReviewSettings)
    """Which captions are fit to train on, and what happens to the others."""
    ray: RaySettings = field(default_factory=RaySettings)
    """Where the work runs."""

    def __post_init__(self):
        if self.engine.kind != "rehearsal" and not self.model.checkpoint:
            raise ValueError(
                "model.checkpoint is missing: name a folder or a hub id (or engine.kind: rehearsal to try without one)"
            )
        prompts = self.prompt.instructions
        for name in prompts if len(prompts) > 1 else ():
            if name in self.translation.languages:
                raise ValueError(
                    f"prompt.instruction: the name {name!r} is in translation.languages too, and the texts of both "
                    f"would be <clip_id>.{name}.txt; give the prompt another name"
                )
        for name in self.review.words or {}:
            if name not in prompts:
                raise ValueError(f"review.words: there is no prompt {name!r}; there are {', '.join(prompts)}")
        if self.translation.languages and self.translation.engine == "llm" and self.engine.kind == "rehearsal":
            raise ValueError(
                "translation.engine llm asks the captioner's own model, and engine.kind rehearsal has none"
            )

    def as_dict(self) -> dict[str, Any]:
        """The effective settings, as plain values."""
        return _TYPED.as_dict(self)


_TYPED = Typed(Pipeline)
setting_names = _TYPED.setting_names
json_schema = _TYPED.json_schema
validate = _TYPED.validate


def load_pipeline(path: str | Path, overrides: Sequence[str] = ()) -> Pipeline:
    """Read a pipeline YAML, apply dotted `key=value` overrides, and validate the whole.

    Raises ValueError that names every problem with its line in the file.
    """
    source = read_source(Path(path), overrides)
    if "data" in source.settings and "corpus" not in source.settings:
        raise ValueError(
            f"{path} is no pipeline but a training recipe: `recap train` takes it and `recap config` with --training, "
            "or `recap pocket` where it is one of pipelines/pocket"
        )
    return validate(source)


def _absolute_address(address: str) -> str:
    place = location(address)
    return str(place) if is_store(place) else os.path.abspath(place)


_PLACES: dict[tuple[str, str], Callable[[str], str | None]] = {
    ("corpus", "path"): _absolute_address,
    ("corpus", "root"): _absolute_address,
    ("decode", "fetch_folder"): _absolute_address,
    ("output", "path"): _absolute_address,
    ("model", "checkpoint"): absolute_name,
    ("model", "base"): absolute_name,
    ("translation", "checkpoint"): absolute_name,
}


def absolute(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same effective settings for a process that works in another folder."""
    named = {section: dict(values) for section, values in settings.items()}
    for (section, name), named_anywhere in _PLACES.items():
        value = named.get(section, {}).get(name)
        if value and isinstance(value, str):  # a recipe may be damaged
            named[section][name] = named_anywhere(value)
    return named


def from_recipe(settings: Mapping[str, Any], output: Location) -> Pipeline:
    """The pipeline whose effective settings a recipe holds, for the output that lies at `output` now."""
    moved = {**settings, "output": {**settings.get("output", {}), "path": str(output)}}
    return validate(SettingsSource(f"{output / 'recipe.json'}", moved, {}, {}))
