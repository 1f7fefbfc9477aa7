"""Scenes as pictures: flat shapes with smooth edges on a grey background."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from recap.pocket.scene import PAN, Scene

RGB = {
    "blue": (40, 70, 230),
    "cyan": (30, 205, 215),
    "green": (40, 175, 60),
    "purple": (165, 50, 190),
    "red": (220, 40, 40),
    "yellow": (235, 215, 40),
}
GREY = {"dark": (15, 35), "light": (220, 240)}
CONTRAST = (65, 85)
PERIOD = (0.30, 0.42)
_BOXES = {"square": (0.75, 0.75), "bar": (1.0, 0.36), "pillar": (0.36, 1.0)}
_FINE = 4  # sub-pixels a pixel, each way


def draw_frames(scene: Scene, count: int, side: int) -> Iterator[np.ndarray]:
    """The scene's `count` frames, evenly spread from its start to its end, each (side, side, 3) uint8 RGB."""
    chance = np.random.default_rng(scene.noise)
    background = _background(scene, side, chance)
    colours = [_tinted(thing.colour, chance) for thing in scene.facts.things]
    for number in range(count):
        time = number / max(1, count - 1)
        picture = Image.fromarray(_panned(background, scene.facts.camera, time))
        for thing, colour, track in zip(scene.facts.things, colours, scene.tracks, strict=True):
            _paint(picture, thing.shape, colour, *track.at(time))
        yield np.asarray(picture)


def _tinted(colour: str, chance: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(level) for level in np.clip(np.array(RGB[colour]) + chance.integers(-14, 15, 3), 0, 255))


def _background(scene: Scene, side: int, chance: np.random.Generator) -> np.ndarray:
    """(side, 2·side, 3) uint8: wide enough for the camera to pan over."""
    base = chance.uniform(*GREY[scene.facts.shade]) + chance.uniform(-5, 5, 3)
    step = chance.uniform(*CONTRAST) * (1 if scene.facts.shade == "dark" else -1)
    y, x = np.mgrid[0:side, 0 : 2 * side] / side + chance.uniform(0, 1, (2, 1, 1))
    period = chance.uniform(*PERIOD)
    mark = _PATTERNS[scene.facts.pattern](x / period, y / period, chance.uniform(0, math.pi))
    return (base + step * mark[..., None]).astype(np.uint8)


def _striped(x: np.ndarray, y: np.ndarray, angle: float) -> np.ndarray:
    return (x * math.cos(angle) + y * math.sin(angle)) % 1 < 0.5


def _checkered(x: np.ndarray, y: np.ndarray, angle: float) -> np.ndarray:
    return (np.floor(x) + np.floor(y)) % 2 == 0


def _dotted(x: np.ndarray, y: np.ndarray, angle: float) -> np.ndarray:
    return np.hypot(x % 1 - 0.5, y % 1 - 0.5) < 0.3


_PATTERNS = {
    "plain": lambda x, y, angle: np.zeros_like(x),
    "striped": _striped,
    "checkered": _checkered,
    "dotted": _dotted,
}


def _panned(background: np.ndarray, camera: str, time: float) -> np.ndarray:
    side = len(background)
    shift = {"pans_left": 1 - time, "pans_right": time}.get(camera, 0.0)
    left = round(shift * PAN * side)
    return background[:, left : left + side]


def _paint(
    picture: Image.Image, shape: str, colour: tuple[int, ...], x: float, y: float, radius: float, angle: float
) -> None:
    side = picture.width
    corner = [math.floor((centre - radius) * side) - 1 for centre in (x, y)]
    patch = math.ceil(2 * radius * side) + 3
    stencil = Image.new("L", (patch * _FINE, patch * _FINE))
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    place = np.array([x, y])
    for points, fill in outline(shape):
        corners = ((place + radius * points @ turn) * side - corner) * _FINE
        ImageDraw.Draw(stencil).polygon([tuple(point) for point in corners], fill=fill)
    picture.paste(colour, tuple(corner), stencil.reduce(_FINE))


@cache
def outline(shape: str) -> tuple[tuple[np.ndarray, int], ...]:
    """Polygons (corners, 2) within the unit circle, each to be filled (255) or cut out (0)."""
    if shape == "ring":
        circle = _regular(48)
        return (circle, 255), (0.55 * circle, 0)
    if shape in _BOXES:
        width, height = _BOXES[shape]
        return ((np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (width, height), 255),)
    return ((_regular(3), 255),)


def _regular(corners: int) -> np.ndarray:
    angles = 2 * math.pi * np.arange(corners) / corners
    return np.stack([np.sin(angles), -np.cos(angles)], axis=1)
