"""What a setting may hold and why a value is not that, in words, from the JSON schema of the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

Schema = Mapping[str, Any]

_KINDS = {"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
_SEVERAL = {"a text": "texts", "a whole number": "whole numbers", "a number": "numbers", "a section": "sections"}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
_LONGEST = 80


class Wanted:
    """The settings of one kind of YAML."""

    def __init__(self, schema: Schema):
        self._root, self._rooms = schema, schema["$defs"]

    def place(self, loc: Sequence[str | int], settings: Any) -> tuple[tuple[str, ...], Any, Schema]:
        """The dotted path of the setting that `loc` is in, its value, and what it may be.

        `loc` goes on below it where the setting may be one of several things.
        """
        path, value, setting = [], settings, self._root
        for part in loc:
            inner = self._inside(setting, part)
            holds = isinstance(value, list | dict) and part in (value if isinstance(value, dict) else range(len(value)))
            if inner is None or not holds:
                break
            path.append(str(part))
            value, setting = value[part], inner
        return tuple(path), value, setting

    def filled(self, value: Any, setting: Schema | None = None) -> Any:
        """`value`, with the empty text where one is wanted and nothing was written, and the words true and false where
        a number is, for which pydantic would take the values."""
        setting = self._root if setting is None else setting
        if isinstance(value, dict):
            return {name: self.filled(each, self._inside(setting, name) or {}) for name, each in value.items()}
        if isinstance(value, list):
            inner = ((each, self._inside(setting, place) or {}) for place, each in enumerate(value))
            return [each if each is None else self.filled(each, wanted) for each, wanted in inner]
        kinds = {kind.get("type") for kind in _kinds(setting)}
        if isinstance(value, bool) and kinds & {"integer", "number"} and "boolean" not in kinds:
            return str(value)
        return "" if value is None and "string" in kinds and "null" not in kinds else value

    def as_written(self, settings: Any, overrides: Mapping[tuple[str, ...], str]) -> Any:
        """`settings`, with the words of an override where a text is wanted and YAML took them for something else."""
        for path, override in overrides.items():
            found, value, setting = self.place(path, settings)
            kinds = {kind.get("type") for kind in _kinds(setting)} - {"null"}
            if found == path and kinds == {"string"} and isinstance(value, bool | int | float):
                settings = _with(settings, path, override.partition("=")[2].strip())
        return settings

    def said(self, name: str, value: Any, setting: Schema) -> str:
        """What the setting called `name` must be, and what it is."""
        return f"{name} must be {self._allowed(setting)}, not {_given(value)}{_hint(value, setting)}"

    def _inside(self, setting: Schema, part: str | int) -> Schema | None:
        for kind in _kinds(setting):
            room = self._rooms[kind["$ref"].rsplit("/", 1)[-1]] if "$ref" in kind else kind
            if isinstance(part, int):
                items = room.get("prefixItems", [])
                found = items[part] if part < len(items) else room.get("items")
            else:
                found = room.get("properties", {}).get(part) or room.get("additionalProperties")
            if found:
                return found
        return None

    def _allowed(self, setting: Schema) -> str:
        kinds = [kind for kind in _kinds(setting) if kind.get("type") != "null"]
        return _listed([self._kind(kind) for kind in kinds])

    def _kind(self, kind: Schema) -> str:
        if "$ref" in kind:
            return f"a section of settings ({', '.join(self._rooms[kind['$ref'].rsplit('/', 1)[-1]]['properties'])})"
        if "enum" in kind or "const" in kind:
            return _listed(kind.get("enum") or [kind["const"]])
        if kind["type"] == "array":
            return self._list(kind)
        if kind["type"] == "object":
            return f"a mapping of names to {self._several(kind['additionalProperties'])}"
        bounds = [f"{words} {kind[bound]:.12g}" for bound, words in _BOUNDS.items() if bound in kind]
        return f"{_KINDS[kind['type']]} ({' and '.join(bounds)})" if bounds else _KINDS[kind["type"]]

    def _list(self, kind: Schema) -> str:
        if "prefixItems" in kind:
            return f"a list of {len(kind['prefixItems'])} {self._several(kind['prefixItems'][0])}"
        return f"a list of {self._several(kind['items'])}"

    def _several(self, items: Schema) -> str:
        said = self._allowed(items)
        for one, several in _SEVERAL.items():
            said = said.replace(one, several)
        return said


def _kinds(setting: Schema) -> Iterator[Schema]:
    yield from setting.get("anyOf", [setting])


def _with(settings: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    return settings | {path[0]: _with(settings[path[0]], path[1:], value)}


def _listed(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _given(value: Any) -> str:
    if value is None:
        return "nothing"
    said = str(value).lower() if isinstance(value, bool) else repr(value)
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"


def _hint(value: Any, setting: Schema) -> str:
    """What would be right, where it is plain what was meant."""
    kinds = list(_kinds(setting))
    types = {kind.get("type") for kind in kinds}
    choices = [choice for kind in kinds for choice in kind.get("enum", [kind.get("const")]) if choice]
    if near := get_close_matches(str(value), choices, 1):
        return f"; did you mean {near[0]}?"
    if isinstance(value, bool | int | float) and "string" in types and not choices:
        return "; write it in quotes"
    if isinstance(value, str) and "array" in types:
        return f"; write a list, [{value}]"
    if isinstance(value, str) and "integer" in types:
        return _whole(value)
    return ""


def _whole(text: str) -> str:
    with suppress(ValueError):
        if float(text).is_integer():
            return f"; write {int(float(text))}"
    return ""
