"""From a settings file to one typed value, with every mistake named and placed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from recap.source import SettingsSource, read_source
from recap.wanted import Wanted

T = TypeVar("T")
_DOTTED = re.compile(r"\w+(?:\.\w+)+")


class Typed(Generic[T]):
    """Reads YAML files of sections into `kind`, a dataclass of dataclasses."""

    def __init__(self, kind: type[T]):
        self._adapter: TypeAdapter[T] = TypeAdapter(kind)

    def load(self, path: str | Path, overrides: Sequence[str] = ()) -> T:
        """Read a YAML, apply dotted `key=value` overrides, and validate the whole.

        Raises ValueError that names every problem with its line in the file.
        """
        return self.validate(read_source(Path(path), overrides))

    def validate(self, source: SettingsSource) -> T:
        """Typed settings; ValueError with every problem and where it stands."""
        wanted = Wanted(self._adapter.json_schema())
        try:
            settings = wanted.as_written(source.settings, source.overrides)
            return self._adapter.validate_python(wanted.filled(settings))
        except ValidationError as error:
            problems = dict.fromkeys(self._problem(item, source, wanted) for item in error.errors())
            raise ValueError(f"{source.name} cannot run:\n  " + "\n  ".join(problems)) from None

    def as_dict(self, value: T) -> dict[str, Any]:
        """The settings as plain values."""
        return self._adapter.dump_python(value, mode="json")

    def json_schema(self) -> dict[str, Any]:
        """The YAML's JSON schema, for editors."""
        return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | self._adapter.json_schema()

    def setting_names(self) -> list[str]:
        """Every dotted key, sections included; what a list holds goes without its number."""
        schema = self._adapter.json_schema()
        return list(_names("", schema, schema["$defs"]))

    def _problem(self, item: Mapping[str, Any], source: SettingsSource, wanted: Wanted) -> str:
        path = tuple(str(part) for part in item["loc"])
        if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            return f"{source.where(path)}there is no setting {'.'.join(path)}{self._nearest(path)}"
        if item["type"] == "value_error":
            said = str(item["ctx"]["error"])
            return f"{source.where(*(tuple(name.split('.')) for name in _DOTTED.findall(said)), path)}{said}"
        if item["type"] in ("missing", "missing_argument") and isinstance(item["loc"][-1], str):
            return f"{source.where(path)}{'.'.join(path)} is missing"
        path, value, setting = wanted.place(item["loc"], source.settings)
        return f"{source.where(path)}{wanted.said('.'.join(path), value, setting)}"

    def _nearest(self, path: Sequence[str]) -> str:
        path = [*(part for part in path[:-1] if not part.isdigit()), path[-1]]
        names = self.setting_names()
        known = {name.rsplit(".", 1)[-1]: name for name in reversed(names)}
        siblings = [name for name in names if name.rpartition(".")[0] == ".".join(path[:-1])]
        near = get_close_matches(".".join(path), siblings, 1, 0.5) or [
            known[name] for name in get_close_matches(path[-1], known, 1, 0.75)
        ]
        return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(siblings)}"


def inner_room(setting: Mapping[str, Any]) -> str | None:
    """Which definition of a JSON schema a setting holds, in a list or not."""
    for place in (setting, setting.get("items", {}), *setting.get("anyOf", ())):
        if "$ref" in place:
            return place["$ref"].rsplit("/", 1)[-1]
    return None


def _names(prefix: str, room: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    for name, setting in room["properties"].items():
        yield prefix + name
        if inner := inner_room(setting):
            yield from _names(f"{prefix}{name}.", definitions[inner], definitions)
