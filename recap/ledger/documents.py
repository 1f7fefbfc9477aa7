"""What the documents of an output hold; those of a later contract may hold other things."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Contracted:
    """What every version keeps."""

    contract: int


@dataclass(frozen=True)
class Shard:
    """A line of the manifest. `path` is relative to the output folder."""

    __pydantic_config__ = {"extra": "forbid"}

    path: str
    kind: str
    rows: int
    bytes: int
    sha256: str
    first_clip_id: str
    last_clip_id: str

    def below(self, folder: str) -> Shard:
        """The same with a path that begins with `folder`."""
        return replace(self, path=f"{folder}/{self.path}")


@dataclass(frozen=True)
class TranslationLine:
    """What a manifest says of a language."""

    key: str
    clips: int


@dataclass(frozen=True)
class Books:
    """`clips = captioned + quarantined + filtered + remaining`."""

    clips: int
    captioned: int
    quarantined: int
    filtered: int
    remaining: int
    vanished: int


@dataclass(frozen=True)
class FlagCounts:
    """Captions by flag, of first attempts and of those kept."""

    before: dict[str, int]
    after: dict[str, int]


@dataclass(frozen=True)
class Manifest:
    """`manifest.json`."""

    generation: str
    caption_key: str
    review_key: str
    review: dict[str, Any]
    flags: FlagCounts
    translations: dict[str, TranslationLine]
    shards: list[Shard]
    reconciliation: Books
    reasons: dict[str, int]


@dataclass(frozen=True)
class Recipe:
    """`recipe.json`."""

    corpus: str
    keys: dict[str, str]
    key_settings: dict[str, dict[str, Any]]
    settings: dict[str, dict[str, Any]]

    def __post_init__(self):
        if "caption_key" not in self.keys:
            raise ValueError("there is no keys.caption_key")
