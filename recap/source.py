"""Reading a settings YAML: environment values, dotted overrides, and the line of every key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@dataclass(frozen=True)
class SettingsSource:
    """Plain settings, and the line of `name` that each dotted path stands on."""

    name: str
    settings: dict[str, Any]
    lines: Mapping[tuple[str, ...], int]

    def where(self, path: tuple[str, ...]) -> str:
        """`line 12: ` for the nearest known key, empty for what no line says."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return f"line {self.lines[path[:end]]}: "
        return ""


def read_source(path: Path, overrides: Sequence[str] = ()) -> SettingsSource:
    """Read a YAML file. `${NAME}` and `${NAME:-default}` are taken from the environment.

    Raises ValueError for a file that is missing or no YAML mapping, for an environment variable
    without a value, and for an override that is not `key=value`.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node, sections = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except FileNotFoundError:
        raise ValueError(f"there is no pipeline {path}") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{path} must be a mapping of sections, such as corpus: and output:")
    lines = dict(_lines(node, ()))
    settings = {name: _expand(section) for name, section in sections.items() if section is not None}
    for override in overrides:
        dotted = _apply(settings, override)
        lines.pop(dotted, None)
    return SettingsSource(str(path), settings, lines)


def _lines(node: yaml.Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _lines(value, inner)


def _expand(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _expand(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_expand(inner) for inner in value]
    return VARIABLE.sub(_variable, value) if isinstance(value, str) else value


def _variable(match: re.Match[str]) -> str:
    name, default = match.groups()
    value = os.environ.get(name) or default
    if value is None:
        raise ValueError(f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}")
    return value


def _apply(settings: dict[str, Any], override: str) -> tuple[str, ...]:
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise ValueError(f"the override {override!r} is not of the form section.key=value")
    path = tuple(dotted.split("."))
    for depth, name in enumerate(path[:-1], start=1):
        inner = settings.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ValueError(f"the override {override!r} goes below {'.'.join(path[:depth])}, which is no section")
        settings = inner
    settings[path[-1]] = _expand(_value(text))
    return path


def _value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:  # a bare glob such as *.mp4
        return text
