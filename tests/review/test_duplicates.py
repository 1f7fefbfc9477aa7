from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recap.review import near_duplicates

WORDS = [f"word{number}" for number in range(500)]


def salad(seed: int, count: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def doubles(texts: list[str], similarity: float = 0.8) -> list[int]:
    return near_duplicates(iter(texts), similarity, len(texts)).tolist()


def test_one_caption_4000_times_among_others_leaves_its_first_unflagged():
    texts = [salad(number) for number in range(1000)]
    for place in random.Random(1).sample(range(20, 1000), 500):
        texts[place:place] = [texts[7]] * 8
    earlier = np.array(doubles(texts))
    copies = [place for place, text in enumerate(texts) if text == texts[7]]
    assert len(copies) == 4001 and copies[0] == 7
    assert set(np.flatnonzero(earlier >= 0)) == set(copies[1:])


def test_it_points_to_an_earlier_text_whose_words_are_nearly_the_same():
    texts = [salad(1), salad(2), salad(1).replace("word", "Word", 1) + "!", salad(3), salad(2) + " more"]
    assert doubles(texts) == [-1, -1, 0, -1, 1]


@pytest.mark.parametrize("changed, alike", [(1, True), (30, False)])
def test_similarity_decides(changed, alike):
    tokens = salad(5).split()
    for place in random.Random(2).sample(range(60), changed):
        tokens[place] = "other"
    assert (doubles([salad(5), " ".join(tokens)])[1] == 0) == alike


def test_a_lower_similarity_takes_more_in():
    tokens = salad(5).split()
    tokens[10] = tokens[25] = tokens[40] = "other"
    pair = [salad(5), " ".join(tokens)]
    assert doubles(pair, 0.95) == [-1, -1] and doubles(pair, 0.5) == [-1, 0]


def test_texts_without_words_and_short_ones():
    assert doubles(["", "...", "", "a cat", "A cat.", "a dog"]) == [-1, -1, -1, -1, 3, -1]
    assert doubles([]) == []
    assert near_duplicates(["a cat", "a cat"], 0.8, most=1000).tolist() == [-1, 0]


def test_chinese():
    text = "一名身穿蓝色围裙的女子站在厨房里，把切好的胡萝卜和土豆放进锅中。"
    assert doubles([text, "清晨的湖面上飘着一层薄雾，一只白鸟飞过。", text[:-1] + "！"]) == [
        -1,
        -1,
        0,
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([salad(number, 20) for number in range(12)]), max_size=40))
def test_exact_copies_are_flagged_from_the_second_on(texts):
    firsts = {text: texts.index(text) for text in texts}
    expected = [-1 if firsts[text] == place else firsts[text] for place, text in enumerate(texts)]
    assert doubles(texts) == expected


def test_the_same_texts_give_the_same_answer_in_another_process_too():
    texts = [salad(number % 50) for number in range(200)]
    assert doubles(texts) == [-1] * 50 + [number % 50 for number in range(50, 200)]
