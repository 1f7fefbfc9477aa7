from __future__ import annotations

import random

import pytest

from recap.review import Context, ReviewSettings
from recap.review.repetition import compression_ratio, distinct_share, is_repetitive, longest_loop, repeated_share


@pytest.mark.parametrize(
    "text, loop",
    [
        ("a b c d e f", 0),
        ("x a a a a a y", 4),
        ("a b a b a b a b", 6),
        ("a b a b a b", 0),  # three times only
        ("z " + "one two three four " * 5, 16),
    ],
)
def test_the_longest_loop_counts_what_only_repeats(text, loop):
    assert longest_loop(text.split(), times=4) == loop


def test_fewer_times_make_a_loop_when_asked():
    assert longest_loop("a b a b a b".split(), times=3) == 4


def test_repeated_share_is_by_words_and_leaves_short_sentences_alone():
    assert repeated_share(["The dog runs very fast.", "It rains."] * 2) == pytest.approx(5 / 14)
    assert repeated_share(["It rains.", "It rains."]) == 0
    assert repeated_share(["The dog runs very fast!", "the dog runs, very fast"]) == 0.5
    assert repeated_share([]) == 0


def test_distinct_share():
    assert distinct_share("a b c d".split()) == 1
    assert distinct_share("a b a b a".split()) == pytest.approx(2 / 3)
    assert distinct_share(["a"]) == 1


def test_a_text_of_one_mould_packs_better_than_a_varied_one():
    colours = "red blue green white black yellow silver brown purple orange grey pink".split()
    mould = " ".join(f"The image shows a {colour} car." for colour in colours)
    letters = random.Random(0).choices("abcdefghijklmnopqrstuvwxyz ", k=len(mould))
    assert compression_ratio(mould) > 3 > 2 > compression_ratio("".join(letters))
    assert compression_ratio("aaaa") == 1, "too short to tell"


def test_each_way_of_repeating_is_found(draft, context):
    assert is_repetitive(draft("A hat on top of a hat on top of a hat on top of a hat on top of a hat."), context)
    assert is_repetitive(draft("A hat lies there. " + "a" * 40), context)
    assert is_repetitive(draft("A red hat lies there. A dog barks. A red hat lies there."), context)
    assert not is_repetitive(draft("A hat lies there, and a dog barks at it."), context)


def test_a_song_may_repeat_within_quotation_marks_to_a_degree(draft, context):
    assert not is_repetitive(draft('The choir sings "la la la la la la la la".'), context)
    assert is_repetitive(draft('The choir sings "' + "la " * 40 + '".'), context)


def test_thresholds_are_settings(draft):
    twice = draft("A red hat lies there. A dog barks. A red hat lies there.")
    assert not is_repetitive(twice, Context(ReviewSettings(repeated_share=0.9)))
    looped = draft("left right " * 4)
    assert is_repetitive(looped, Context())
    assert not is_repetitive(looped, Context(ReviewSettings(loop_words=7)))
    assert not is_repetitive(looped, Context(ReviewSettings(loop_times=5)))
