"""Ways to turn frames into visual tokens: PLLaVA's own, and those that its paper compares it with.

What to decode and how many tokens come of it is answered without torch, for the side that has no model.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from recap.records import FrameRequest

if TYPE_CHECKING:
    from torch import Tensor

    from recap.pllava.config import PllavaConfig
    from recap.pllava.model import Pllava

Pooling = tuple[int, int, int]
_N_FRAMES = 4
_GRID_TILES = (2, 3)


class Strategy(Protocol):
    """One way to show a clip. `windows` is how many square pictures the view makes of a frame."""

    name: str

    def frame_request(self, config: PllavaConfig, count: int, view: str = "crop") -> FrameRequest:
        """What to decode, where `count` frames are asked for; a strategy with a fixed number keeps to that."""

    def token_count(self, config: PllavaConfig, count: int, windows: int = 1) -> int:
        """Visual tokens of one clip. ValueError if the strategy cannot deal with so many windows."""

    def tokens(self, model: Pllava, pixel_values: Tensor, windows: int = 1) -> Tensor:
        """Normalised pictures as visual tokens (clips, tokens, hidden).

        `pixel_values` is (windows·pictures, 3, S, S), window-major, of one clip, or has a first dimension of
        clips. ValueError for pictures that do not suit the strategy.
        """


class PllavaPooling:
    """Adaptive average pooling to frames × rows × columns after the projector's activation.

    Several windows are pooled to their share of the columns and put side by side, so that the tokens keep
    their number and their order: frame by frame, row by row.
    """

    name = "pllava"

    def __init__(self, pooling: Pooling | None = None):
        if pooling is not None and (len(pooling) != 3 or min(pooling) < 1):
            raise ValueError(
                f"pooling is {pooling}; it must be frames, rows and columns of at least 1, such as (16, 12, 12)"
            )
        self.pooling = pooling and tuple(pooling)

    def frame_request(self, config: PllavaConfig, count: int, view: str = "crop") -> FrameRequest:
        return FrameRequest(count, config.image_size, view)

    def token_count(self, config: PllavaConfig, count: int, windows: int = 1) -> int:
        frames, rows, columns = self._window(config, windows)
        return frames * rows * columns * windows

    def tokens(self, model: Pllava, pixel_values: Tensor, windows: int = 1) -> Tensor:
        shape = self._window(model.config, windows)
        apart = _projected(model, _clips(pixel_values, windows), windows, shape)
        return apart.unflatten(2, shape).movedim(1, 3).flatten(1, 4)

    def _window(self, config: PllavaConfig, windows: int) -> Pooling:
        """The pooling of one window."""
        frames, rows, columns = self.pooling or config.pooling_shape
        if columns % windows:
            raise ValueError(
                f"{windows} windows cannot share the {columns} columns of the pooling "
                f"({frames}, {rows}, {columns}): choose an even number of columns, or another view than wide"
            )
        return frames, rows, columns // windows


class NFrame:
    """Four frames, every patch a token; the tokens of several windows follow each other."""

    name = "n_frame"

    def frame_request(self, config: PllavaConfig, count: int, view: str = "crop") -> FrameRequest:
        return FrameRequest(_N_FRAMES, config.image_size, view)

    def token_count(self, config: PllavaConfig, count: int, windows: int = 1) -> int:
        return windows * _N_FRAMES * config.grid**2

    def tokens(self, model: Pllava, pixel_values: Tensor, windows: int = 1) -> Tensor:
        clips = _clips(pixel_values, windows, _N_FRAMES)
        return _projected(model, clips, windows, _unpooled(model, _N_FRAMES)).flatten(1, 2)


class VideoChatGpt:
    """The mean patch of every frame, then the mean over time of every patch, each through the projector.

    The means are of the tower's features (source: Maaz et al., Video-ChatGPT, arXiv 2306.05424); the tokens
    of several windows follow each other.
    """

    name = "video_chatgpt"

    def frame_request(self, config: PllavaConfig, count: int, view: str = "crop") -> FrameRequest:
        return FrameRequest(count, config.image_size, view)

    def token_count(self, config: PllavaConfig, count: int, windows: int = 1) -> int:
        return windows * (count + config.grid**2)

    def tokens(self, model: Pllava, pixel_values: Tensor, windows: int = 1) -> Tensor:
        import torch

        clips = _clips(pixel_values, windows)
        count = clips.shape[1] // windows
        features = model.patch_features(clips.flatten(0, 1), num_frames=count).flatten(2, 3)
        means = torch.cat([features.mean(2), features.mean(1)], dim=1)
        number = means.shape[1]
        tokens = model.projector(means[:, None, None], (1, 1, number))
        return tokens.unflatten(0, (-1, windows)).flatten(1, 2)


class ImageGrid:
    """Six frames in one picture of two columns and three rows, every patch a token.

    Source: Kim et al., IG-VLM, arXiv 2403.18406.
    """

    name = "image_grid"

    def frame_request(self, config: PllavaConfig, count: int, view: str = "crop") -> FrameRequest:
        return FrameRequest(math.prod(_GRID_TILES), config.image_size, view, _GRID_TILES)

    def token_count(self, config: PllavaConfig, count: int, windows: int = 1) -> int:
        return windows * config.grid**2

    def tokens(self, model: Pllava, pixel_values: Tensor, windows: int = 1) -> Tensor:
        clips = _clips(pixel_values, windows, 1)
        return _projected(model, clips, windows, _unpooled(model, 1)).flatten(1, 2)


_STRATEGIES = {strategy.name: strategy for strategy in (PllavaPooling, NFrame, VideoChatGpt, ImageGrid)}
NAMES = tuple(_STRATEGIES)


def get_strategy(name: str, pooling: Pooling | None = None) -> Strategy:
    """The strategy called `name`. `pooling` (frames, rows, columns) overrides the checkpoint's in `pllava`.

    ValueError for an unknown name, or a pooling for a strategy that does not pool.
    """
    if name not in _STRATEGIES:
        raise ValueError(f"there is no way to make visual tokens called {name!r}; choose {', '.join(NAMES)}")
    if name == PllavaPooling.name:
        return PllavaPooling(pooling)
    if pooling is not None:
        raise ValueError(f"visual tokens of the kind {name} are not pooled: leave pooling out, or use pllava")
    return _STRATEGIES[name]()


def check_context(config: PllavaConfig, prompt_tokens: int, visual_tokens: int, max_new_tokens: int) -> None:
    """ValueError if prompt, visual tokens and answer together are longer than the model was made for.

    `prompt_tokens` counts `<image>`, whose place the visual tokens take.
    """
    total = prompt_tokens - 1 + visual_tokens + max_new_tokens
    if total > config.max_positions:
        raise ValueError(
            f"a prompt of {prompt_tokens - 1} tokens, {visual_tokens} visual tokens and max_new_tokens "
            f"{max_new_tokens} make {total}, but the model holds {config.max_positions}: lower max_new_tokens "
            "by the difference, choose a smaller pooling or shorten the prompt"
        )


def _clips(pixel_values: Tensor, windows: int, pictures: int | None = None) -> Tensor:
    """(clips, windows·pictures, 3, S, S), checked; `pictures` is the number that a window must bring."""
    clips = pixel_values[None] if pixel_values.dim() == 4 else pixel_values
    found = clips.shape[1]
    if found and found % windows == 0 and pictures in (None, found // windows):
        return clips
    each = "one or more" if pictures is None else pictures
    raise ValueError(f"a clip brought {found} pictures in {windows} windows; each window must hold {each}")


def _projected(model: Pllava, clips: Tensor, windows: int, shape: Pooling) -> Tensor:
    """(clips, windows, tokens of one window, hidden)."""
    count = clips.shape[1] // windows
    tokens = model.visual_tokens(clips.flatten(0, 1), num_frames=count, pooling_shape=shape)
    return tokens.unflatten(0, (-1, windows))


def _unpooled(model: Pllava, frames: int) -> Pooling:
    return frames, model.config.grid, model.config.grid
