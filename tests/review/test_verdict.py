from __future__ import annotations

import time
from dataclasses import replace
from itertools import combinations

import pytest

from recap.records import Caption
from recap.review import WEIGHTS, Context, ReviewSettings, keep_better, mark_near_duplicate, review, score, scores_again

GOOD = (
    "A woman in a red coat crosses a wooden bridge with a small dog, stops in the middle of it, looks down at the"
    " frozen river for a moment and throws a stone, which slides across the ice to the other bank."
)
SETTINGS = ReviewSettings()


def test_a_good_caption_passes_with_a_full_score(context):
    reviewed = review(Caption("dense", GOOD), context)
    assert (reviewed.flags, reviewed.verdict, reviewed.scores, reviewed.text) == ((), "pass", (1.0,), GOOD)


def test_flags_are_sorted_and_fail(context):
    reviewed = review(Caption("dense", "I'm sorry, I cannot", finish_reason="length"), context)
    assert reviewed.flags == ("refusal", "too_short", "truncated") and reviewed.verdict == "fail"


def test_an_empty_caption_has_no_other_flag(context):
    assert review(Caption("dense", "</s>", finish_reason="length"), context).flags == ("empty",)


def test_tolerated_flags_are_noted_without_failing(context):
    caption = Caption("dense", f"The video shows {GOOD[0].lower()}{GOOD[1:]}")
    reviewed = review(caption, context)
    assert reviewed.flags == ("stock_opening",) and reviewed.verdict == "pass" and reviewed.text == caption.text
    assert review(caption, Context(ReviewSettings(tolerate=()))).verdict == "fail"


def test_reviewing_again_gives_the_same(context):
    once = review(Caption("dense", "A dog."), context)
    assert review(once, context) == once


def flagged(*flags: str, text: str = GOOD) -> Caption:
    return Caption("dense", text, flags=flags)


def test_every_flag_costs_and_the_worthless_cost_most():
    scores = {flag: score(flagged(flag), SETTINGS) for flag in WEIGHTS}
    assert max(scores.values()) < score(flagged(), SETTINGS) == 1
    assert min(scores, key=scores.get) == "empty"
    assert scores["refusal"] < scores["repetition"] < scores["truncated"] < scores["stock_opening"]


@pytest.mark.parametrize("tolerate", [SETTINGS.tolerate, tuple(WEIGHTS)[:-1], ()])
def test_what_passes_beats_what_fails(tolerate):
    settings = ReviewSettings(tolerate=tolerate)
    failing = [flag for flag in WEIGHTS if flag not in tolerate]
    worst = score(flagged(*tolerate, text="a b c a b c a b c"), settings)
    assert all(score(flagged(flag), settings) < worst for flag in failing)


def test_more_flags_never_score_higher():
    for pair in combinations(WEIGHTS, 2):
        assert score(flagged(*pair), SETTINGS) <= min(score(flagged(flag), SETTINGS) for flag in pair)


def test_with_equal_flags_the_one_that_repeats_itself_less_is_better():
    looping, less = (flagged("repetition", text="a b c " * n + "d e f g h") for n in (20, 3))
    assert score(looping, SETTINGS) < score(less, SETTINGS)


def test_the_better_of_two_carries_the_history(context):
    first = review(Caption("dense", f"{GOOD} {GOOD}"), context)
    second = replace(review(Caption("dense", GOOD), context), output_tokens=7)
    kept = keep_better(first, second)
    assert kept.text == GOOD and kept.output_tokens == 7 and kept.verdict == "pass" and kept.flags == ()
    assert kept.repairs == 1 and kept.scores == (*first.scores, 1.0) and kept.flags_before == ("repetition",)
    worse = keep_better(second, first)
    assert worse.text == GOOD and worse.repairs == 1 and worse.scores == (1.0, *first.scores)
    assert worse.flags_before == ()


def test_of_two_equals_the_first_is_kept(context):
    first, second = (review(Caption("dense", text), context) for text in (GOOD, GOOD.replace("red", "blue")))
    assert keep_better(first, second).text == GOOD


def test_near_duplicates_are_marked_afterwards(context):
    reviewed = review(Caption("dense", GOOD, finish_reason="length"), context)
    marked = mark_near_duplicate(reviewed, context.settings)
    assert marked.flags == ("near_duplicate", "truncated") and marked.verdict == "fail"
    clean = mark_near_duplicate(review(Caption("dense", GOOD), context), context.settings)
    assert clean.verdict == "pass"
    assert mark_near_duplicate(clean, ReviewSettings(tolerate=())).verdict == "fail"
    assert marked.scores == (score(marked, context.settings),) < reviewed.scores


@pytest.mark.parametrize(
    ("before", "kept", "after"),
    [
        ((), 0.5, (0.5,)),
        ((0.9,), 0.5, (0.5,)),
        ((0.7, 0.6), 0.65, (0.65, 0.6)),
        ((0.7, 0.6), 0.1, (0.1, 0.1)),
        ((0.6, 0.7), 0.5, (0.5, 0.5)),
        ((0.7, 0.7), 0.9, (0.9, 0.7)),
    ],
)
def test_a_score_given_again_leaves_the_kept_attempt_the_highest(before, kept, after):
    assert scores_again(before, kept) == after


@pytest.mark.parametrize("piece", ["(", "\n", "😀", '"', "“a ", "a '", "video ", "*_", "I ", "reads 猫 ", "ab"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_long_nonsense_takes_no_longer_than_its_length_asks_for(piece, language):
    context = Context(instruction="Tell what happens in this clip.", identify=lambda text: {language: 1.0})
    caption = Caption("dense", "a" + piece * (20_000 // len(piece)) + "a", language=language)
    started = time.process_time()
    review(caption, context)
    assert time.process_time() - started < 1
