"""Where frames go the moment they are decoded."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from recap.records import FrameRequest
from recap.video.view import apply_view, window_count


class Pictures:
    """Model-size pictures of distinct moments; a full-size frame is let go as soon as it is shrunk."""

    def __init__(self, moments: int, request: FrameRequest):
        self.request = request
        shape = (window_count(request.view), moments, request.size, request.size, 3)
        self.pixels = np.zeros(shape, np.uint8)

    def take(self, shots: Iterable[tuple[float, np.ndarray]]) -> list[float]:
        """Shrink each (time in seconds, (H, W, 3) uint8 frame) of `shots`; returns the times."""
        times = []
        for moment, (time_s, frame) in enumerate(shots):
            self.pixels[:, moment] = apply_view(frame, self.request.view, self.request.size)
            times.append(time_s)
        return times

    def arranged(self, places: list[int]) -> np.ndarray:
        """(windows·count, size, size, 3), window-major, moments repeated as `places` says."""
        return self.pixels[:, places].reshape(-1, *self.pixels.shape[2:])
