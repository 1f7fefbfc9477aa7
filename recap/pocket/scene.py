"""Scenes of the pocket world, drawn by lot: what is in them and how it moves.

Lengths are fractions of the picture's side, times of the clip's length; x runs to the right, y down.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from recap.pocket.facts import (
    CAMERAS,
    COLOURS,
    MOTIONS,
    PATTERNS,
    PLACES,
    SHADES,
    SHAPES,
    SIZES,
    WIDER_MOTIONS,
    Facts,
    Thing,
)

WIDER = (*WIDER_MOTIONS, "camera_pan")
RADII = {"small": (0.13, 0.155), "large": (0.225, 0.26)}
DIRECTIONS = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
    "up_left": (-1, -1),
    "up_right": (1, -1),
    "down_left": (-1, 1),
    "down_right": (1, 1),
}
STRIDE = (0.36, 0.52)
PAN = 0.5
BOUNCES, BOUNCE_HEIGHT = 2, 0.22
_PLACE_EDGES = (0.38, 0.62)
_TOUCH = 0.95  # of the two radii together: nearer than that, one would hide the other
_INSTANTS = tuple(step / 8 for step in range(9))


@dataclass(frozen=True, slots=True)
class Track:
    """Where a thing is: centre and radius at the start and the end, between which it glides."""

    start: tuple[float, float]
    end: tuple[float, float]
    radii: tuple[float, float]
    motion: str = "still"

    def at(self, time: float) -> tuple[float, float, float, float]:
        """(x, y, radius, angle in radians) at `time` from 0 to 1."""
        x, y = (a + (b - a) * time for a, b in zip(self.start, self.end, strict=True))
        radius = self.radii[0] + (self.radii[1] - self.radii[0]) * time
        if self.motion == "bouncing":
            y -= BOUNCE_HEIGHT * abs(math.sin(BOUNCES * math.pi * time))
        return x, y, radius, math.pi * time if self.motion == "turning" else 0.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A clip or picture to be drawn: its facts, a track for each thing, and `noise` for the painter's freedoms."""

    facts: Facts
    tracks: tuple[Track, ...]
    noise: int


def draw_scenes(seed: int, *, moving: bool, wider: Collection[str] = ()) -> Iterator[Scene]:
    """Scenes without end, the same for the same arguments.

    Without `moving` they are pictures, whose things have places. `wider` adds motions and the camera's pan to
    the world: names of `WIDER`.
    """
    if unknown := set(wider) - set(WIDER):
        raise ValueError(
            f"the pocket world cannot be widened by {', '.join(sorted(unknown))}; choose {', '.join(WIDER)}"
        )
    chance = random.Random(f"{seed}/{'clips' if moving else 'pictures'}")
    motions = (*MOTIONS, *(motion for motion in WIDER_MOTIONS if motion in wider))
    cameras = CAMERAS if moving and "camera_pan" in wider else CAMERAS[:1]
    while True:
        yield _scene(chance, motions if moving else ("still",), cameras, moving)


def _scene(chance: random.Random, motions: tuple[str, ...], cameras: tuple[str, ...], moving: bool) -> Scene:
    colours = sorted(chance.sample(COLOURS, chance.choice((1, 2, 2))))
    pairs = [_thing(chance, colour, motions) for colour in colours]
    while not _apart([track for _, track in pairs]):
        pairs = [_thing(chance, colour, motions) for colour in colours]
    things = tuple(thing if moving else _placed(thing, track) for thing, track in pairs)
    facts = Facts(things, chance.choice(SHADES), chance.choice(PATTERNS), chance.choice(cameras))
    return Scene(facts, tuple(track for _, track in pairs), chance.getrandbits(32))


def _thing(chance: random.Random, colour: str, motions: tuple[str, ...]) -> tuple[Thing, Track]:
    motion = chance.choice(motions)
    size = {"growing": "small", "shrinking": "large"}.get(motion) or chance.choice(SIZES)
    shape = chance.choice([shape for shape in SHAPES if motion != "turning" or shape != "ring"])  # it turns unseen
    first = chance.uniform(*RADII[size])
    last = {"growing": "large", "shrinking": "small"}.get(motion)
    radii = (first, chance.uniform(*RADII[last]) if last else first)
    return Thing(size, colour, shape, motion), _track(chance, motion, radii)


def _track(chance: random.Random, motion: str, radii: tuple[float, float]) -> Track:
    margin = max(radii)
    direction = DIRECTIONS.get(motion, (0, 0))
    start, end = [], []
    for sign in direction:
        stride = chance.uniform(STRIDE[0], min(STRIDE[1], 1 - 2 * margin)) if sign else 0.0
        low = chance.uniform(margin, 1 - margin - stride)
        start.append(low if sign >= 0 else low + stride)
        end.append(start[-1] + sign * stride)
    if motion == "bouncing":
        start[1] = end[1] = chance.uniform(margin + BOUNCE_HEIGHT, 1 - margin)
    return Track(tuple(start), tuple(end), radii, motion)


def _apart(tracks: list[Track]) -> bool:
    if len(tracks) < 2:
        return True
    for time in _INSTANTS:
        (ax, ay, ar, _), (bx, by, br, _) = (track.at(time) for track in tracks)
        if math.hypot(ax - bx, ay - by) < _TOUCH * (ar + br):
            return False
    return True


def _placed(thing: Thing, track: Track) -> Thing:
    column, row = (sum(at > edge for edge in _PLACE_EDGES) for at in track.start)
    return Thing(thing.size, thing.colour, thing.shape, PLACES[3 * row + column])
