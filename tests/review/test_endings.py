from __future__ import annotations

import pytest

from recap.review.endings import is_empty, is_finished, is_truncated


@pytest.mark.parametrize("text", ["", " \n", "</s>", "ASSISTANT:", "N/A", "...", "1.", "<unk><unk>", "**Caption:**"])
def test_nothing_is_empty(draft, context, text):
    assert is_empty(draft(text), context)


@pytest.mark.parametrize("text", ["A cat.", "None of them moves.", "雨", "Unknown men unload a van."])
def test_a_word_is_not_empty(draft, context, text):
    assert not is_empty(draft(text), context)


@pytest.mark.parametrize(
    "text",
    [
        "A man walks. He turns to the",
        "A man walks. He turns to the.",
        "A man walks, then",
        "A man walks. He stops and…",
        "A man walks. The sign reads “OPE",
        "A man walks. There are three things:",
        "A man walks (with a",
        "A man and a",
        "一名男子走过街道。他手里拿着一",
    ],
)
def test_sentences_that_break_off(draft, text):
    assert not is_finished(draft(text))


@pytest.mark.parametrize(
    "text",
    [
        "A man walks.",
        "A man on a horse",
        'A sign that says "To be continued..."',
        "It says “Stop!”",
        "The list:\n- milk\n- eggs",
        "He nods (and smiles).",
        "**A man walks.**",
        "The dog sleeps. 😴",
        "The dog sleeps. 👨\u200d👩\u200d👧 1\ufe0f\u20e3\u200b",
        'A 5" nail. It bends.',
        "一名男子走过街道。",
        "墙上写着“欢迎”",
    ],
)
def test_sentences_that_end(draft, text):
    assert is_finished(draft(text))


def test_the_token_limit_truncates_whatever_the_text(draft, context):
    assert is_truncated(draft("A man walks.", finish_reason="length"), context)
    assert not is_truncated(draft("A man walks."), context)
