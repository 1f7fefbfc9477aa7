from __future__ import annotations

import pytest

from recap.pllava import render_prompt
from recap.training.conversation import FORMATS, IGNORED, Turn, encode
from recap.training.scratch import make_tokenizer

TURNS = (Turn("What is it?", "a red circle", "Be brief."), Turn("Where?", "at the top"))


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(["USER: ASSISTANT: a red circle at the top What is it? Where? Be brief."] * 3, 400)


def spans(ids, labels, tokenizer):
    """The text of each run of tokens that is learnt."""
    texts, run = [], []
    for token, label in [*zip(ids, labels, strict=True), (None, IGNORED)]:
        if label != IGNORED:
            assert token == label
            run.append(token)
        elif run:
            texts.append(tokenizer.decode(run))
            run = []
    return texts


@pytest.mark.parametrize("name", ["videochat2", "plain"])
def test_only_answers_and_what_ends_them_are_learnt(name, tokenizer):
    ids, labels = encode(TURNS, FORMATS[name], tokenizer, 512)
    assert spans(ids, labels, tokenizer) == ["a red circle</s>", "at the top</s>"]
    assert ids[0] == tokenizer.bos_token_id and ids.count(tokenizer.bos_token_id) == 1
    assert ids.count(tokenizer.convert_tokens_to_ids("<image>")) == 1


def test_the_format_of_the_published_models(tokenizer):
    ids, _ = encode(TURNS, FORMATS["videochat2"], tokenizer, 512)
    text = tokenizer.decode(ids, spaces_between_special_tokens=False)
    flat = text.replace(" ", "").replace("\n", "")
    assert flat == ("<s>Bebrief.USER:<image>Whatisit?</s>ASSISTANT:aredcircle</s>USER:Where?</s>ASSISTANT:atthetop</s>")


def test_what_is_learnt_follows_the_prompt_that_a_pipeline_asks(tokenizer):
    turn = Turn("What is it?", "a red circle")
    ids, labels = encode([turn], FORMATS["plain"], tokenizer, 512)
    asked = [token for token, label in zip(ids, labels, strict=True) if label == IGNORED]
    assert asked == tokenizer(render_prompt("plain", "", "What is it?"))["input_ids"]


def test_chat_markers_surround_the_turns_of_the_34b(tokenizer):
    ids, labels = encode(TURNS[1:], FORMATS["llavanext"], tokenizer, 512)
    assert spans(ids, labels, tokenizer) == ["at the top<|im_end|>\n"]


def test_a_long_conversation_is_cut(tokenizer):
    ids, labels = encode(TURNS, FORMATS["plain"], tokenizer, 20)
    assert len(ids) == len(labels) == 20
