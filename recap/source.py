"""Reading a settings YAML: environment values, dotted overrides, and where every key was said."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# Braces would end a word of YAML's flow style: while it is parsed others stand in for those of a variable.
OPEN, CLOSE = "\ue000", "\ue001"
VARIABLE = re.compile(r"\$\{(\w+(?::-[^}]*)?)\}")
PARSED_VARIABLE = re.compile(rf"\${OPEN}(\w+)(?::-([^{CLOSE}]*))?{CLOSE}")
TIMESTAMP, MERGE, TEXT = (f"tag:yaml.org,2002:{kind}" for kind in ("timestamp", "merge", "str"))
UNREADABLE = (yaml.YAMLError, ValueError, RecursionError)


class _Loader(yaml.SafeLoader):
    """YAML in which a date is a text, and so is every key."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node, deep=False):
        """As the parent's, of keys that are what was written."""
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                key.tag = TEXT
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class SettingsSource:
    """Plain settings, the line of `name` that each dotted path stands on, and the overrides that took its place."""

    name: str
    settings: dict[str, Any]
    lines: Mapping[tuple[str, ...], int]
    overrides: Mapping[tuple[str, ...], str]

    def where(self, *paths: tuple[str, ...]) -> str:
        """`line 12: ` for the nearest known key of the first path, or the first override among all of them.

        Empty for what neither says.
        """
        for path in paths:
            for above in _and_above(path):
                if above in self.overrides:
                    return f"the override {self.overrides[above]}: "
        return next((f"line {self.lines[above]}: " for above in _and_above(paths[0]) if above in self.lines), "")


def _and_above(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (path[:end] for end in range(len(path), 0, -1))


def read_source(path: Path, overrides: Sequence[str] = ()) -> SettingsSource:
    """Read a YAML file. `${NAME}` and `${NAME:-default}` are taken from the environment.

    Raises ValueError for a file that is missing, no YAML mapping or says a key twice, for an environment
    variable without a value, and for an override that is not `key=value`.
    """
    try:
        node, sections = _parsed(_sheltered(path.read_text(encoding="utf-8")))
        keys = list(_keys(node, ()))
    except (FileNotFoundError, IsADirectoryError):
        raise ValueError(f"there is no file {path}") from None
    except (*UNREADABLE, OSError) as error:
        said = str(error).replace(OPEN, "{").replace(CLOSE, "}")
        raise ValueError(f"{path} cannot be read as YAML: {said}") from None
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{path} must be a mapping of sections, such as model: and output:")
    lines = _lines(path, keys)
    settings = {name: _expand(section) for name, section in sections.items() if section is not None}
    applied = {_apply(settings, override): override for override in overrides}
    return SettingsSource(str(path), settings, lines, applied)


def _sheltered(text: str) -> str:
    return VARIABLE.sub(rf"${OPEN}\1{CLOSE}", text)


def _parsed(text: str) -> tuple[yaml.Node | None, Any]:
    """What stands where, and its values."""
    return yaml.compose(text, Loader=_Loader), yaml.load(text, Loader=_Loader)


def _keys(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _keys(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _keys(value, (*path, str(number)))


def _lines(path: Path, keys: list[tuple[tuple[str, ...], int]]) -> dict[tuple[str, ...], int]:
    lines: dict[tuple[str, ...], int] = {}
    for key, line in keys:
        if key in lines:
            raise ValueError(f"{path} says {'.'.join(key)} twice, on lines {lines[key]} and {line}: leave one out")
        lines[key] = line
    return lines


def _expand(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _expand(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_expand(inner) for inner in value]
    return PARSED_VARIABLE.sub(_variable, value) if isinstance(value, str) else value


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
        if settings.get(name) is None:
            settings[name] = {}
        settings = settings[name]
        if not isinstance(settings, dict):
            raise ValueError(f"the override {override!r} goes below {'.'.join(path[:depth])}, which is no section")
    settings[path[-1]] = _expand(_value(_sheltered(text)))
    return path


def _value(text: str) -> Any:
    """As YAML has it where that is all of the text: a glob, or a sentence with ` #` or `: ` in it, is its own value."""
    try:
        node, value = _parsed(text)
    except UNREADABLE as error:
        if (text.strip()[:1], text.strip()[-1:]) in (("[", "]"), ("{", "}")):
            said = " ".join(str(error).split())
            raise ValueError(
                f"the override {text!r} is no list or mapping as YAML has them ({said}): quote texts that hold "
                "?, : or ,"
            ) from None
        return text
    is_plain = isinstance(node, yaml.ScalarNode) and node.value == text.strip()
    if not is_plain and text.strip() and text.lstrip()[0] not in "[{'\"":
        return text
    for key, times in Counter(key for key, _ in _keys(node, ())).items():
        if times > 1:
            raise ValueError(f"the override {text!r} says {'.'.join(key)} twice: leave one out")
    return value
