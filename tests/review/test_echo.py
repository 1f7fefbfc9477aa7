from __future__ import annotations

import pytest

from recap.review import Context, ReviewSettings
from recap.review.echo import is_echo, opens_alike, shares_run

TOLD = "Tell what happens in this clip, in the order in which it happens, and mention only what is visible."


@pytest.mark.parametrize(
    "text",
    [
        TOLD,
        "A man walks. Tell what happens in this clip.",
        "A man walks in the order in which it happens, and mention it.",
        "A man walks. Mention only what is visible.",
        "ASSISTANT: A man walks.",
        "A man walks.<|im_end|>",
        "Your task is to describe the video. A man walks.",
        "Please describe the video in detail. A man walks.",
        "请描述视频。一名男子在走路。",
    ],
)
def test_what_the_model_was_told(draft, text):
    assert is_echo(draft(text), Context(instruction=TOLD))


def test_the_system_text_counts_too(draft):
    context = Context(instruction="Go.", system="You watch short clips and report what can be seen.")
    assert is_echo(draft("You watch short clips. A man walks."), context)


@pytest.mark.parametrize(
    "text",
    [
        "A man walks in the order in which he was told.",
        'On the board: "Describe the video in one paragraph." A class laughs.',
        "A tutor describes the clip to a friend.",
    ],
)
def test_what_only_sounds_alike(draft, text):
    assert not is_echo(draft(text), Context(instruction=TOLD))


def test_without_a_prompt_there_is_no_run_to_share():
    assert not shares_run(("a", "man"), "", 8)
    assert not opens_alike(("A man walks there.",), "")


def test_a_short_prompt_is_an_echo_as_a_whole():
    assert shares_run(("well", "describe", "the", "scene", "now"), "Describe the scene now", 8)
    assert not shares_run(("describe", "the", "scene"), "Describe the scene now", 8)


def test_the_runs_length_is_a_setting(draft):
    text = draft("A man acts in the order in which it rains.")
    assert not is_echo(text, Context(instruction=TOLD))
    assert is_echo(text, Context(ReviewSettings(echo_words=6), instruction=TOLD))
