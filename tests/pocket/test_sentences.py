from __future__ import annotations

import random

import pytest

from recap.pocket import english, parse_chinese, parse_english
from recap.pocket.facts import CAMERAS
from recap.pocket.grammar import ENGLISH_DOING, chinese
from recap.pocket.score import score
from recap.pocket.sentences import draw_facts, is_held_out


def drawn(count: int, *, held_out: bool):
    chance = random.Random(7)
    return [draw_facts(chance, held_out=held_out) for _ in range(count)]


@pytest.mark.parametrize("held_out", [True, False])
def test_what_is_held_out_is_never_among_the_others(held_out):
    facts = drawn(300, held_out=held_out)
    assert {is_held_out(english(said)) for said in facts} == {held_out}
    assert len(set(facts)) > 290


def test_they_range_over_the_whole_grammar_and_read_back_in_both_languages():
    facts = drawn(600, held_out=False)
    assert {thing.doing for said in facts for thing in said.things} == set(ENGLISH_DOING)
    assert {said.camera for said in facts} == set(CAMERAS)
    assert {len(said.things) for said in facts} == {1, 2, 3}
    assert any(said.things[0].colour > said.things[-1].colour for said in facts)
    for said in facts:
        assert parse_english(english(said)) == said == parse_chinese(chinese(said))


def test_chinese_is_scored_like_english():
    one, other = drawn(2, held_out=False)
    assert score([(one, chinese(one))], "zh").right["whole"] == 1
    wrong = score([(one, chinese(one).replace("。", ""))], "zh").right
    assert wrong["whole"] == 0 and wrong["background"] == wrong["shape"] == 1
    assert score([(one, chinese(other))], "zh").right["whole"] == 0
    assert score([(one, english(one))], "zh").right["colour"] == 0
