"""The recipes of what the pocket world trains by itself: the tower and the translator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from recap.typed import Typed


@dataclass(frozen=True)
class LearnSettings:
    """How long and how fast something learns."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    steps: int
    """Batches that are learnt from."""
    batch_size: int = 64
    """Pictures or captions in a batch."""
    learning_rate: float = 1e-3
    """Of AdamW, after warming up."""
    seed: int = 42
    """Where weights and order are drawn from."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"train.{name} must be above 0, not {getattr(self, name)}")


@dataclass(frozen=True)
class PocketOutputSettings:
    """Where the result goes."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}

    path: Path
    """A folder."""


@dataclass(frozen=True)
class PicturesSettings:
    """What the tower looks at."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}

    path: Path
    """What `recap pocket make --pictures` wrote."""


@dataclass(frozen=True)
class TranslatorRecipe:
    """Everything that training the translator needs to know; its captions come from the grammar."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}

    train: LearnSettings
    """How it is learnt."""
    output: PocketOutputSettings
    """Where the translator goes."""


@dataclass(frozen=True)
class TowerRecipe:
    """Everything that training the tower needs to know."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}

    data: PicturesSettings
    """What is learnt from."""
    train: LearnSettings
    """How it is learnt."""
    output: PocketOutputSettings
    """Where the untrained LLaVA with that tower goes."""


load_translator_recipe = Typed(TranslatorRecipe).load
load_tower_recipe = Typed(TowerRecipe).load
