"""What makes a caption stale: hashes of named settings, each chained to the one before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any


@dataclass(frozen=True)
class Keys:
    """The chained keys by name, in their order, and the named settings that each is a hash of.

    A key builds on the one before it, or on the one that `parents` names.
    """

    settings: Mapping[str, Mapping[str, Any]]
    parents: Mapping[str, str] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, str]:
        """16 hex digits for each key."""
        values: dict[str, str] = {}
        previous = ""
        for name, settings in self.settings.items():
            previous = values[self.parents[name]] if name in self.parents else previous
            values[name] = previous = key_of(settings, previous)
        return values


def key_of(settings: Mapping[str, Any], previous: str = "") -> str:
    """16 hex digits for named settings and the key they build on."""
    text = json.dumps(_canonical({"previous": previous, **settings}), sort_keys=True, ensure_ascii=False)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _canonical(value: Any) -> Any:
    """4.0 and 4 are one setting."""
    if isinstance(value, Mapping):
        return {name: _canonical(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The dotted names of what two nested mappings say differently, each with both values (None: not said)."""
    old, new = _flat(_canonical(before)), _flat(_canonical(after))
    return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}


def _flat(settings: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{path}{name}.")
        else:
            flat[path + name] = value
    return flat
