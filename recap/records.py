"""The words every room speaks: a clip, the frames asked of it, its captions, its record.

Standard library only, so that the list of commands, a decode child and a GPU box can all import it cheaply.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

CAPTIONED = "captioned"
QUARANTINED = "quarantined"
FILTERED = "filtered"
MISSING = "missing"  # the source version of a file that was not there when the corpus was read
STATUSES = (CAPTIONED, QUARANTINED, FILTERED)
WINDOWS = {"crop": 1, "pad": 1, "wide": 2}  # by view: how many square pictures it makes of a frame


@dataclass(frozen=True, slots=True)
class Clip:
    """One span of one video file, as the corpus snapshot knows it.

    `uri` is the address relative to the corpus root (what the id is made of); `location` is where
    this run can open it. `start_s` and `end_s` are seconds into the file, None for its ends.
    """

    clip_id: str
    ordinal: int
    uri: str
    location: str
    source_version: str
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """What the model wants to see: `count` moments, each as square pictures of `size` pixels.

    `view` says how a frame becomes square pictures; `tiles` (columns, rows) puts several moments
    into one picture, (1, 1) meaning one each.
    """

    count: int = 16
    size: int = 336
    view: str = "crop"
    tiles: tuple[int, int] = (1, 1)

    @property
    def pictures(self) -> int:
        """How many pictures of all windows the model sees of a clip."""
        columns, rows = self.tiles
        return WINDOWS[self.view] * (self.count // (columns * rows))

    @property
    def picture_bytes(self) -> int:
        """What the pictures of one clip take."""
        return self.pictures * 3 * self.size**2


@dataclass(slots=True)
class Frames:
    """Model-size frames of one clip and what was learnt about its file.

    `pixels` is uint8 `(pictures, size, size, 3)` RGB, window-major; `times_s` holds the
    presentation time of each of the `count` frames in seconds of the file; `coverage` is the
    fraction of the picture's area that the view kept.
    """

    pixels: np.ndarray
    times_s: tuple[float, ...]
    coverage: float
    width: int
    height: int
    fps: float
    duration_s: float
    codec: str
    decoder: str
    flags: tuple[str, ...] = ()


class ClipError(Exception):
    """A clip that cannot be captioned: `stage` (probe, decode, caption), `kind`, plain words.

    `message` goes into the shards, so it must be the same on every machine: no paths, addresses,
    times or process ids. `facts` may carry what a `Frames` would have said about the file.
    """

    def __init__(self, stage: str, kind: str, message: str, facts: Mapping[str, Any] | None = None):
        super().__init__(f"{stage}/{kind}: {message}")
        self.stage, self.kind, self.message = stage, kind, message
        self.facts = dict(facts or {})

    def __reduce__(self):
        return type(self), (self.stage, self.kind, self.message, self.facts)


@dataclass(slots=True)
class Caption:
    """One text about one clip. `source_sha` names the caption a translation renders, else empty.

    `flags`, `verdict` and `scores` are the review's: `scores` has one figure for each attempt, in their order, and
    the text is the best attempt's. `repairs` counts the attempts after the first, whose flags are `flags_before`.
    """

    prompt: str
    text: str
    language: str = "en"
    source_sha: str = ""
    model: str = ""
    finish_reason: str = "stop"
    output_tokens: int = 0
    flags: tuple[str, ...] = ()
    verdict: str = ""
    repairs: int = 0
    scores: tuple[float, ...] = ()
    flags_before: tuple[str, ...] = ()


@dataclass(slots=True)
class Record:
    """What is stored for a clip under one caption key; the columns of fragments and shards."""

    clip: Clip
    status: str
    caption_key: str
    review_key: str
    captions: tuple[Caption, ...] = ()
    flags: tuple[str, ...] = ()
    frame_times_s: tuple[float, ...] = ()
    coverage: float = math.nan
    width: int = 0
    height: int = 0
    fps: float = math.nan
    duration_s: float = math.nan
    codec: str = ""
    decoder: str = ""
    error_stage: str = ""
    error_kind: str = ""
    error_message: str = ""

    @property
    def caption(self) -> str:
        """The primary prompt's text, empty where there is none."""
        return self.captions[0].text if self.captions else ""
