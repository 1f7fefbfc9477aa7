"""Clips that exist in a test only."""

from __future__ import annotations

import numpy as np
from PIL import Image

from recap.records import Frames
from recap.report.frames import ClipFrames


def filmed(monkeypatch) -> list[str]:
    """Let every clip show something like a photograph; the list grows by the uri of each that is read."""
    read: list[str] = []

    def of(_self, found, request):
        read.append(found["uri"])
        size, inner = request.size, round(request.size * found["height"] / found["width"])
        pixels = np.zeros((request.count, size, size, 3), np.uint8)
        top = (size - inner) // 2
        pixels[:, top : top + inner] = natural(len(read), request.count, inner, size)
        facts = {name: found[name] for name in ("width", "height", "fps", "duration_s", "codec", "decoder")}
        return Frames(pixels, tuple(np.arange(request.count) / 4), 1.0, **facts)

    monkeypatch.setattr(ClipFrames, "of", of)
    return read


def natural(seed: int, count: int, height: int, width: int) -> np.ndarray:
    """`count` pictures with the spectrum of photographs, drifting a little."""
    random, picture = np.random.default_rng(seed), np.zeros((height, width + count, 3))
    for cells in (2, 4, 8, 16, 32, 64):
        coarse = Image.fromarray(random.integers(0, 255, (cells, cells, 3), np.uint8))
        picture += np.asarray(coarse.resize((width + count, height), Image.Resampling.BICUBIC), float) / cells
    pixels = np.clip(picture, 0, 255).astype(np.uint8)
    return np.stack([pixels[:, at : at + width] for at in range(count)])
