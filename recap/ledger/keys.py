"""What makes a caption stale: hashes of named settings, each chained to the one before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any


def key_of(settings: Mapping[str, Any], previous: str = "") -> str:
    """16 hex digits for named settings and the key they build on."""
    text = json.dumps({"previous": previous, **settings}, sort_keys=True, ensure_ascii=False)
    return blake2b(text.encode(), digest_size=8).hexdigest()
