"""The YAML as typed settings. Each room owns its section; this file composes and validates them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from recap.corpus.settings import CorpusSettings
from recap.engines.settings import EngineSettings, ModelSettings, PromptSettings
from recap.graph.settings import RaySettings
from recap.shards.settings import OutputSettings
from recap.source import SettingsSource, read_source
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
    ray: RaySettings = field(default_factory=RaySettings)
    """Where the work runs."""

    def __post_init__(self):
        if self.engine.kind != "rehearsal" and not self.model.checkpoint:
            raise ValueError(
                "model.checkpoint is missing: name a folder or a hub id (or engine.kind: rehearsal to try without one)"
            )

    def as_dict(self) -> dict[str, Any]:
        """The effective settings, as plain values."""
        return _ADAPTER.dump_python(self, mode="json")


_ADAPTER: TypeAdapter[Pipeline] = TypeAdapter(Pipeline)


def load_pipeline(path: str | Path, overrides: Sequence[str] = ()) -> Pipeline:
    """Read a pipeline YAML, apply dotted `key=value` overrides, and validate the whole.

    Raises ValueError that names every problem with its line in the file.
    """
    return validate(read_source(Path(path), overrides))


def from_recipe(settings: Mapping[str, Any], output: Path) -> Pipeline:
    """The pipeline whose effective settings a recipe holds, for the output that lies at `output` now."""
    moved = {**settings, "output": {**settings["output"], "path": str(output)}}
    return validate(SettingsSource(f"{output / 'recipe.json'}", moved, {}))


def validate(source: SettingsSource) -> Pipeline:
    """Typed settings; ValueError with every problem and where it stands."""
    try:
        return _ADAPTER.validate_python(source.settings)
    except ValidationError as error:
        problems = [_problem(item, source) for item in error.errors()]
        raise ValueError(f"{source.name} cannot run:\n  " + "\n  ".join(problems)) from None


def json_schema() -> dict[str, Any]:
    """The YAML's JSON schema, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | _ADAPTER.json_schema()


def _problem(item: Mapping[str, Any], source: SettingsSource) -> str:
    path = tuple(str(part) for part in item["loc"])
    where = source.where(path)
    if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{where}there is no setting {'.'.join(path)}{_nearest(path)}"
    if item["type"] == "value_error":
        return f"{where}{item['ctx']['error']}"
    if item["type"] in ("missing", "missing_argument"):
        return f"{where}{'.'.join(path)} is missing"
    return f"{where}{'.'.join(path)}: {item['msg']}, not {item['input']!r}"


def _nearest(path: Sequence[str]) -> str:
    known = {name.rsplit(".", 1)[-1]: name for name in reversed(setting_names())}
    siblings = [name for name in setting_names() if name.rpartition(".")[0] == ".".join(path[:-1])]
    near = get_close_matches(".".join(path), siblings, 1, 0.5) or [
        known[name] for name in get_close_matches(path[-1], known, 1, 0.75)
    ]
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(siblings)}"


def setting_names() -> list[str]:
    """Every dotted key, sections included."""
    definitions = _ADAPTER.json_schema()
    names = []
    for section, reference in definitions["properties"].items():
        room = definitions["$defs"][reference["$ref"].rsplit("/", 1)[-1]]
        names += [section, *(f"{section}.{name}" for name in room["properties"])]
    return names
