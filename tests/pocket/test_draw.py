from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from recap.pocket.draw import GREY, RGB, draw_frames
from recap.pocket.scene import DIRECTIONS, Scene, draw_scenes

SIDE = 64


def mask(picture: np.ndarray, colour: str) -> np.ndarray:
    return (np.abs(picture.astype(int) - RGB[colour]) < 40).all(axis=-1)


def lone_things(count: int) -> list[Scene]:
    scenes = (scene for scene in draw_scenes(5, moving=True) if len(scene.facts.things) == 1)
    return list(islice(scenes, count))


@pytest.mark.parametrize("scene", lone_things(40), ids=lambda scene: scene.facts.things[0].doing)
def test_a_thing_does_what_its_caption_says(scene):
    first, *_, last = draw_frames(scene, 8, SIDE)
    thing = scene.facts.things[0]
    before, after = (np.argwhere(mask(picture, thing.colour)) for picture in (first, last))
    move = (after.mean(axis=0) - before.mean(axis=0))[::-1] / SIDE
    expected = DIRECTIONS.get(thing.doing, (0, 0))
    assert [0 if abs(step) < 0.1 else int(np.sign(step)) for step in move] == list(expected)
    growth = len(after) / len(before)
    assert (growth > 1.8) == (thing.doing == "growing") and (growth < 0.56) == (thing.doing == "shrinking")


def test_the_background_is_as_dark_as_it_says():
    for scene in lone_things(20):
        corner = next(draw_frames(scene, 1, SIDE))[:3, :3].mean()
        assert (corner < 120) == (scene.facts.shade == "dark"), (scene.facts, GREY)


def test_one_seed_draws_the_same_pictures():
    one, two = (next(draw_scenes(8, moving=True)) for _ in range(2))
    assert one == two
    for first, second in zip(draw_frames(one, 3, SIDE), draw_frames(two, 3, SIDE), strict=True):
        assert np.array_equal(first, second)
