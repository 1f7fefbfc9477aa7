"""One HTML file of a template, its style, its script and the data."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Any


def assemble(title: str, data: Mapping[str, Any]) -> str:
    """The page on `data`. It runs no script but its own, and nothing in `data` can end the block it stands in."""
    style, script = _part("page.css"), _part("page.js")
    return Template(_part("page.html")).substitute(
        title=escape(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        data=json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
    )


def _part(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What a Content-Security-Policy knows an inline block by."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
