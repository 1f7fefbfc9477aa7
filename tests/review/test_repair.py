from __future__ import annotations

import pytest

from recap.review import WEIGHTS, Repair, ReviewSettings, repair_for

SETTINGS = ReviewSettings()
REWORD = Repair(other_prompt=True)


@pytest.mark.parametrize(
    "flags, reason, repair",
    [
        ((), "stop", None),
        (("stock_opening", "near_duplicate"), "stop", None),
        (("repetition",), "stop", Repair(repetition_penalty=1.15)),
        (("repetition", "truncated"), "length", Repair(repetition_penalty=1.15)),
        (("truncated",), "length", Repair(length_factor=2.0)),
        (("truncated",), "stop", REWORD),
        (("too_long", "truncated"), "length", REWORD),
        (("truncated", "wrong_language"), "length", Repair(length_factor=2.0, other_prompt=True)),
        (("echo",), "stop", REWORD),
        (("empty",), "stop", REWORD),
    ],
)
def test_what_is_tried_for_which_flags(flags, reason, repair):
    assert repair_for(flags, reason, SETTINGS) == repair


def test_every_failing_flag_changes_something():
    for flag in set(WEIGHTS) - {"near_duplicate", "stock_opening"}:
        for reason in ("stop", "length"):
            assert repair_for((flag,), reason, SETTINGS) not in (None, Repair())


def test_nothing_is_tried_when_it_is_off_or_tolerated():
    assert repair_for(("echo",), "stop", ReviewSettings(repair=False)) is None
    assert repair_for(("echo",), "stop", ReviewSettings(tolerate=("echo",))) is None


def test_a_stock_opening_that_fails_asks_for_nothing():
    assert repair_for(("stock_opening",), "stop", ReviewSettings(tolerate=())) is None


def test_changes_of_decoding():
    assert Repair(repetition_penalty=1.15).decoding(400, 1.0) == {"max_new_tokens": 400, "repetition_penalty": 1.15}
    assert Repair(length_factor=1.5).decoding(401, 1.3) == {"max_new_tokens": 602, "repetition_penalty": 1.3}
    assert Repair(repetition_penalty=1.15).decoding(4, 1.3)["repetition_penalty"] == 1.3, "never less than before"


def test_the_other_prompt():
    assert REWORD.instruction(SETTINGS, "Say it.") == "Say it. Answer in English, with nothing but the description."
    bare = ReviewSettings(repair_instruction="{instruction}{language}")
    assert REWORD.instruction(bare, "{language}") == "{language}English"
    assert Repair().instruction(SETTINGS, "Say it.") is None
