"""Where frames go the moment they are decoded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from recap.records import FrameRequest, Frames
from recap.video.drawing import draw_view, first_resize, resized
from recap.video.grid import grid_of, tile_of
from recap.video.scaling import Scaling
from recap.video.view import first_size, window_count


def pixels_shape(request: FrameRequest) -> tuple[int, ...]:
    """(pictures, size, size, 3): what `request` makes of any clip."""
    return request.pictures, request.size, request.size, 3


def blank(request: FrameRequest) -> Frames:
    """What `request` makes of a black clip of 8 × 8 pixels with one frame for each moment, a second apart."""
    times_s, seconds = tuple(map(float, range(request.count))), float(request.count)
    return Frames(np.zeros(pixels_shape(request), np.uint8), times_s, 1.0, 8, 8, 1.0, seconds, "none", "blank")


class Pictures:
    """Model-size pictures; a full-size frame is let go as soon as the last picture it is in is drawn.

    `places` says for each of the request's moments which of the distinct frames shows it, ascending.
    `scaling` is what the decoder shrinks frames to, if it does.
    """

    def __init__(self, places: Sequence[int], request: FrameRequest, scaling: Scaling | None = None):
        self.request, self.scaling = request, scaling
        cells = request.tiles[0] * request.tiles[1]
        self.grids = [tuple(places[at : at + cells]) for at in range(0, len(places), cells)]
        shape = (window_count(request.view), len(self.grids), request.size, request.size, 3)
        self.windows = np.zeros(shape, np.uint8)

    @property
    def pixels(self) -> np.ndarray:
        """(windows·pictures, size, size, 3) uint8, window-major."""
        return self.windows.reshape(-1, *self.windows.shape[2:])

    def take(self, shots: Iterable[tuple[float, np.ndarray]]) -> list[float]:
        """Draw each (time in seconds, (H, W, 3) uint8 frame) of the distinct `shots`; returns the times."""
        times: list[float] = []
        held: dict[int, Image.Image] = {}
        waiting = 0
        for place, (time_s, frame) in enumerate(shots):
            times.append(time_s)
            held[place] = self._kept(frame)
            while waiting < len(self.grids) and self.grids[waiting][-1] == place:
                self._draw(waiting, held)
                waiting += 1
            first = self.grids[waiting][0] if waiting < len(self.grids) else place + 1
            held = {at: picture for at, picture in held.items() if at >= first}
        return times

    def _kept(self, frame: np.ndarray) -> Image.Image:
        """What is held of a frame: a tile, or what the first resize makes of a frame that stays alone."""
        if self.request.tiles != (1, 1):
            return tile_of(frame, self.request.tiles)
        if self.scaling:
            return resized(Image.fromarray(frame), self.scaling.picture)
        return first_resize(frame, self.request.view, self.request.size)

    def _draw(self, number: int, held: dict[int, Image.Image]) -> None:
        grid = self.grids[number]
        if number and grid == self.grids[number - 1]:
            self.windows[:, number] = self.windows[:, number - 1]
            return
        picture = self._picture([held[place] for place in grid])
        self.windows[:, number] = draw_view(picture, self.request.view, self.request.size)

    def _picture(self, kept: list[Image.Image]) -> Image.Image:
        """What the view goes on with after its first resize."""
        if len(kept) == 1:
            return kept[0]
        grid = grid_of(kept, self.request.tiles)
        first = first_size(*grid.size, self.request.view, self.request.size)
        return resized(grid, self.scaling.picture if self.scaling else first)
