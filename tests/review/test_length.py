from __future__ import annotations

import pytest

from recap.records import Caption
from recap.review import Context, Draft, ReviewSettings
from recap.review.length import is_too_long, is_too_short


@pytest.mark.parametrize(
    "prompt, least, most", [("dense", 25, 400), ("medium", 8, 150), ("short", 3, 60), ("own", 3, 600)]
)
def test_each_prompt_has_its_bounds(context, prompt, least, most):
    for count, short, long in (
        (least - 1, True, False),
        (least, False, False),
        (most, False, False),
        (most + 1, False, True),
    ):
        draft = Draft(Caption(prompt, "word " * count))
        assert (is_too_short(draft, context), is_too_long(draft, context)) == (short, long)


def test_bounds_are_settings_by_prompt():
    context = Context(ReviewSettings(words={"dense": (2, 3)}))
    assert not is_too_short(Draft(Caption("dense", "two words")), context)
    assert is_too_long(Draft(Caption("dense", "these are four words")), context)
    assert is_too_long(Draft(Caption("short", "word " * 61)), context), "the others keep theirs"
