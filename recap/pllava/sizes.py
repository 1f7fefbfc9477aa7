"""What the side that decodes must know of a PLLaVA, read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recap.pllava.config import (
    TEXT_DEFAULTS,
    VISION_DEFAULTS,
    frames_and_pooling,
    read_json,
)
from recap.pllava.reading import reading


@dataclass(frozen=True)
class Sizes:
    """The part of a `PllavaConfig` that decides on frames and token counts, under the same names."""

    image_size: int
    grid: int
    num_frames: int
    pooling_shape: tuple[int, int, int]
    max_positions: int


def read_sizes(folder: str | Path) -> Sizes:
    """Read `folder`/config.json. ValueError says what is missing or wrong in it."""
    path = Path(folder) / "config.json"
    content, where = read_json(path), str(path)
    num_frames, pooling_shape = frames_and_pooling(content, where)
    with reading(path):
        vision = VISION_DEFAULTS | _given(content.get("vision_config"))
        text = TEXT_DEFAULTS | _given(content.get("text_config"))
        return Sizes(
            image_size=vision["image_size"],
            grid=vision["image_size"] // vision["patch_size"],
            num_frames=num_frames,
            pooling_shape=pooling_shape,
            max_positions=text["max_position_embeddings"],
        )


def _given(section: dict | None) -> dict:
    return {key: value for key, value in (section or {}).items() if value is not None}
