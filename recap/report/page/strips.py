"""A clip's frames side by side, as one small JPEG."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from recap.records import ClipError, FrameRequest, Frames
from recap.report.frames import ClipFrames
from recap.storage import Location
from recap.video import DecodeSettings
from recap.video.view import first_size

MOST_FRAMES = 16
AREA = 96 * 54  # pixels of a frame, whatever its shape
LONGEST = 1024  # pixels of its longer side: no JPEG is wider than 65,500
QUALITY = 72


class Strips:
    """Draws at most `most` strips of clips below `root`; whoever opens it closes it."""

    def __init__(self, root: Location, most: int):
        self.left = most
        self._frames = ClipFrames(root, DecodeSettings(decoder="fast", truncated="caption"))

    def of(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """`jpeg` (base64), its `width` and `height` in pixels and the frames' `times_s`; or `missing`, which says why.

        None for a row whose error has said it already: a clip that cost the run minutes is not tried again.
        """
        if row["error_stage"] in ("fetch", "probe", "decode"):
            return None
        if not self.left:
            return {"missing": "more strips were not asked for (--strips)"}
        self.left -= 1
        try:
            return strip(self._frames.of(row, _request(row)))
        except ClipError as error:
            return {"missing": error.message}

    def close(self) -> None:
        """End what decodes."""
        self._frames.close()


def strip(frames: Frames) -> dict[str, Any]:
    """`frames` of the view `pad`, without their bars, from left to right."""
    size = frames.pixels.shape[1]
    width, height = first_size(frames.width, frames.height, "pad", size)
    left, top = (size - width) // 2, (size - height) // 2
    picture = Image.fromarray(np.hstack(frames.pixels[:, top : top + height, left : left + width]))
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=QUALITY, optimize=True)
    return {
        "jpeg": b64encode(jpeg.getvalue()).decode(),
        "width": picture.width,
        "height": picture.height,
        "times_s": list(frames.times_s),
    }


def _request(row: Mapping[str, Any]) -> FrameRequest:
    """As many frames as the model saw, of `AREA` pixels each, or fewer where they would be longer than `LONGEST`."""
    width, height = row["width"] or 16, row["height"] or 9
    size = min(LONGEST, round(max(width, height) * (AREA / (width * height)) ** 0.5))
    return FrameRequest(min(MOST_FRAMES, len(row["frame_times_s"]) or MOST_FRAMES), size, "pad")
