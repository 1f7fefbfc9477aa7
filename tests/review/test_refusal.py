from __future__ import annotations

import pytest

from recap.review.refusal import is_refusal, says_i, talks_shop


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I cannot assist with that request.",
        "As an AI language model, watching is out of reach.",
        "A man walks. Let me know if more is needed.",
        "A man walks. My description may be wrong.",
        "Please upload the video again.",
        "There is no video attached.",
        "The video could not be loaded.",
        "抱歉，我无法查看视频内容。",
        "一名男子在走路。希望以上描述对您有帮助。",
    ],
)
def test_the_model_speaks(draft, context, text):
    assert is_refusal(draft(text), context)


@pytest.mark.parametrize(
    "text",
    [
        "A sign says \"I'm sorry, I can't help\". A robot waves.",
        "An AI model is shown on the screen of a phone.",
        "Tanks from World War I stand beside a coal mine.",
        "As a model walks by, a student answers a question about the picture.",
        "机器人说：“我是AI助手。”孩子们笑了。",
    ],
)
def test_the_clip_speaks(draft, context, text):
    assert not is_refusal(draft(text), context)


def test_a_narrator_is_told_from_a_numeral():
    assert says_i("Here I would stop.") and says_i("a room, which I see") and says_i("I'd rather not")
    assert not says_i("Elizabeth I sits there") and not says_i("the letter I falls") and not says_i("an I-beam")


def test_talking_shop_needs_a_denial_a_medium_and_a_request():
    assert talks_shop("the image is not provided so the question stays".split())
    assert not talks_shop("the image provided answers the question".split())
    assert not talks_shop("the question is not answered".split())
