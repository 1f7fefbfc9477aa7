from __future__ import annotations

import pytest

from recap.translation import TranslationSettings
from recap.translation.seq2seq import Seq2SeqTranslator

TEXTS = ["A bird crosses the river.", "A red boat.", "The bird crosses the red river. A boat crosses the river."]


def translator(folder, **settings):
    return Seq2SeqTranslator(folder, TranslationSettings(checkpoint=str(folder), max_new_tokens=12, **settings))


def test_a_text_does_not_depend_on_its_neighbours(marian):
    opened = translator(marian())
    alone = [opened.translate([text], "zh")[0] for text in TEXTS]
    assert opened.translate(TEXTS, "zh") == alone
    assert [each.text for each in opened.translate(TEXTS[::-1], "zh")] == [each.text for each in alone[::-1]]


def test_long_texts_go_in_pieces_and_come_back_whole(marian):
    opened = translator(marian(), piece_tokens=8)
    first, second = (opened.translate([text], "zh")[0] for text in TEXTS[2].split(". "))
    whole = opened.translate([TEXTS[2]], "zh")[0]
    assert whole.output_tokens <= 24 and whole.output_tokens > max(first.output_tokens, second.output_tokens)


def test_a_second_attempt_searches_otherwise(marian, monkeypatch):
    opened, asked = translator(marian()), []
    generate = opened._model.generate
    monkeypatch.setattr(opened._model, "generate", lambda **how: asked.append(how) or generate(**how))
    for again in (False, True):
        opened.translate(TEXTS, "zh", second=again)
    assert [how["num_beams"] for how in asked] == [1, 4] and "no_repeat_ngram_size" in asked[1]


def test_models_for_several_targets_are_told_which(marian):
    opened = translator(marian("cmn_Hans", "jpn"))
    assert opened._target("zh") == (">>cmn_Hans<< ", {})
    with pytest.raises(ValueError, match=r"translates into .*cmn_Hans.*, not into de"):
        opened.translate(TEXTS, "de")


def test_a_folder_that_is_no_translator_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"translation\.checkpoint"):
        translator(tmp_path)
