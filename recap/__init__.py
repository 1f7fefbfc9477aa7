"""recap: re-caption video corpora in bulk.

The names below are loaded when first used, so that `import recap.pllava` works where only torch
and transformers are installed, and `recap --help` does not wait for either.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_HOMES = {
    "load_pipeline": "recap.pipeline",
    "run": "recap.jobs",
    "preprocess": "recap.preprocessing",
}


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'recap' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
