"""Writes settings.md from the code: `python docs/make_settings.py > docs/settings.md`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from recap.pipeline import json_schema


def settings_page() -> str:
    """Every section of the YAML as a table."""
    return "\n".join(_lines(json_schema()))


def _lines(schema: dict[str, Any]) -> Iterator[str]:
    yield "# Settings\n"
    yield "Written by `make schema` from the dataclasses that use them; edit those.\n"
    for section, reference in schema["properties"].items():
        room = schema["$defs"][reference["$ref"].rsplit("/", 1)[-1]]
        yield f"## `{section}`\n"
        yield room["description"] + "\n"
        yield "| key | default | what it does |"
        yield "|---|---|---|"
        for name, setting in room["properties"].items():
            yield f"| `{section}.{name}` | {_default(setting)} | {' '.join(setting['description'].split())} |"
        yield ""


def _default(setting: dict[str, Any]) -> str:
    if "default" not in setting:
        return "required"
    return "none" if setting["default"] is None else f"`{json.dumps(setting['default'])}`"


if __name__ == "__main__":
    print(settings_page())
