from __future__ import annotations

import pytest

from recap.review import ReviewSettings
from recap.review.openings import delivered_text, has_stock_opening, trim_opening


@pytest.mark.parametrize(
    "text, rest",
    [
        ("The video shows a man on a horse.", "A man on a horse."),
        ("In this video, we see two cats.", "Two cats."),
        ("The clip begins with a title card.", "A title card."),
        ("Here is a detailed description of the video: Rain falls.", "Rain falls."),
        ('The video opens with "Hello" in white.', '"Hello" in white.'),
        ("视频展示了一名男子在骑马。", "一名男子在骑马。"),
        ("在这段视频中，两个孩子在踢球。", "两个孩子在踢球。"),
    ],
)
def test_stock_openings_are_found_and_trimmed(draft, context, text, rest):
    assert has_stock_opening(draft(text), context)
    assert trim_opening(text) == rest


@pytest.mark.parametrize(
    "text",
    [
        "The video store on the corner has a neon sign.",
        "The image of a saint is carried by six men.",
        "A video of a wedding plays on a tablet.",
        "A picture of a woman hangs above the fireplace in the living room.",
        "An image of the sea covers the wall of the room.",
        "A man films a video.",
        "Footage from a race runs on a screen.",
        "The scene painter rolls grey over a canvas.",
    ],
)
def test_what_is_no_opening_stays(draft, context, text):
    assert not has_stock_opening(draft(text), context)
    assert trim_opening(text) == text


@pytest.mark.parametrize(
    "text",
    ["The video shows how a knot is tied.", "The video ends.", "This video shows.", "画面从左到右移动，一条河流进海。"],
)
def test_nothing_broken_is_left_over(text):
    assert trim_opening(text) == text


def test_captions_are_delivered_whole_unless_asked_otherwise():
    text = "The video shows a man on a horse."
    assert delivered_text(text, ReviewSettings()) == text
    assert delivered_text(text, ReviewSettings(trim_openings=True)) == "A man on a horse."
