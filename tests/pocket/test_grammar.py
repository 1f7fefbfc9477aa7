from __future__ import annotations

from itertools import islice

import pytest

from recap.pocket.facts import MOTIONS, PATTERNS, SHADES, SHAPES, WIDER_MOTIONS, Facts, Thing
from recap.pocket.grammar import CHINESE_DOING, CHINESE_WORDS, ENGLISH_DOING, chinese, english, parse_english
from recap.pocket.scene import WIDER, draw_scenes

FACTS = Facts((Thing("large", "cyan", "ring", "up_left"), Thing("small", "red", "bar", "still")), "dark", "striped")


def test_both_languages_say_all_the_facts():
    assert english(FACTS) == (
        "A large cyan ring moves up and to the left and a small red bar stays still on a dark striped background."
    )
    assert chinese(FACTS) == "在深色条纹背景上，一个大的青色圆环向左上方移动，一个小的红色横条保持不动。"


@pytest.mark.parametrize("moving", [True, False])
def test_english_is_read_back(moving):
    for scene in islice(draw_scenes(3, moving=moving, wider=WIDER if moving else ()), 300):
        assert parse_english(english(scene.facts)) == scene.facts
        assert Facts.of(scene.facts.as_dict()) == scene.facts


def test_every_word_has_its_chinese():
    assert ENGLISH_DOING.keys() == CHINESE_DOING.keys()
    assert {*SHAPES, *PATTERNS, *SHADES} <= CHINESE_WORDS.keys()
    assert len(set(CHINESE_DOING.values())) == len(CHINESE_DOING)
    assert len(set(CHINESE_WORDS.values())) == len(CHINESE_WORDS)


def test_what_is_not_said_is_missing():
    said = parse_english("A large red square moves up. It is nice.")
    assert said.things == (Thing("large", "red", "square", "up"),)
    assert (said.shade, said.pattern) == ("", "")


def test_the_world_is_as_wide_as_it_says():
    plain = {thing.doing for scene in islice(draw_scenes(1, moving=True), 500) for thing in scene.facts.things}
    wider = [scene.facts for scene in islice(draw_scenes(1, moving=True, wider=WIDER), 500)]
    assert plain == set(MOTIONS)
    assert {thing.doing for facts in wider for thing in facts.things} == {*MOTIONS, *WIDER_MOTIONS}
    assert {facts.camera for facts in wider} == {"still", "pans_left", "pans_right"}
    with pytest.raises(ValueError, match="flying; choose turning, bouncing, camera_pan"):
        next(draw_scenes(1, moving=True, wider=["flying"]))
