"""Writes settings.md from the code: `python docs/make_settings.py > docs/settings.md`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from recap import pipeline
from recap.training import recipe
from recap.typed import inner_room


def settings_page() -> str:
    """Every section of both kinds of YAML as a table."""
    return "\n".join([*_lines("Settings of a pipeline", pipeline), *_lines("Settings of a training", recipe)])


def _lines(title: str, room: ModuleType) -> Iterator[str]:
    schema = room.json_schema()
    yield f"# {title}\n"
    yield "Written by `make schema` from the dataclasses that use them; edit those.\n"
    for section, reference in schema["properties"].items():
        settings = schema["$defs"][inner_room(reference)]
        yield f"## `{section}`\n"
        yield settings["description"] + "\n"
        yield "| key | default | what it does |"
        yield "|---|---|---|"
        yield from _rows(section, settings, schema["$defs"])
        yield ""


def _rows(prefix: str, settings: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    for name, setting in settings["properties"].items():
        inner = inner_room(setting)
        default, what = _default(name, setting, settings), " ".join(setting["description"].split())
        yield f"| `{prefix}.{name}` | {default} | {what} |"
        if inner:
            yield from _rows(f"{prefix}.{name}", definitions[inner], definitions)


def _default(name: str, setting: dict[str, Any], settings: dict[str, Any]) -> str:
    if name in settings.get("required", ()):
        return "required"
    if "default" not in setting:
        return ""  # that of what it holds
    return "none" if setting["default"] is None else f"`{json.dumps(setting['default'])}`"


if __name__ == "__main__":
    print(settings_page())
