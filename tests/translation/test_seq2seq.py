from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from transformers import GenerationConfig

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


def test_what_a_card_has_no_memory_for_goes_in_halves(marian, monkeypatch):
    opened, sizes = translator(marian()), []
    whole, generate = opened.translate(TEXTS, "zh"), opened._model.generate

    def short(**how):
        sizes.append(len(how["input_ids"]))
        if sizes[-1] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(**how)

    monkeypatch.setattr(opened._model, "generate", short)
    assert opened.translate(TEXTS, "zh") == whole and sizes == [3, 1, 2, 1, 1]


def test_a_text_that_a_card_has_no_memory_for_alone_is_said_to_want_memory(marian, monkeypatch):
    opened = translator(marian())

    def short(**_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(opened._model, "generate", short)
    with pytest.raises(MemoryError, match=r"lower translation\.piece_tokens .*\(CUDA out of memory\)"):
        opened.translate(TEXTS[:1], "zh")


def test_every_batch_is_watched_and_nothing_else(marian):
    watched = []

    class Watch(nullcontext):
        def __enter__(self):
            watched.append("begins")

        def __exit__(self, *_):
            watched.append("ends")

    settings = TranslationSettings(checkpoint="here", max_new_tokens=12, batch_size=2)
    Seq2SeqTranslator(marian(), settings, Watch()).translate(TEXTS, "zh")
    assert watched == 2 * ["begins", "ends"]


def test_a_second_attempt_searches_otherwise(marian, monkeypatch):
    opened, asked = translator(marian()), []
    generate = opened._model.generate
    monkeypatch.setattr(opened._model, "generate", lambda **how: asked.append(how) or generate(**how))
    for again in (False, True):
        opened.translate(TEXTS, "zh", second=again)
    assert [how["num_beams"] for how in asked] == [1, 4] and "no_repeat_ngram_size" in asked[1]


def test_no_more_is_written_than_the_decoder_has_positions_for(marian, monkeypatch):
    opened = Seq2SeqTranslator(marian(), TranslationSettings(checkpoint="here", max_new_tokens=100))
    monkeypatch.setattr(opened._model.generation_config, "eos_token_id", None)
    opened._model.final_logits_bias[0, 5] = 1e4  # the same piece for ever
    (found,) = opened.translate(TEXTS[:1], "zh")
    assert (found.finish_reason, found.output_tokens) == ("length", 64)


def test_what_is_cut_is_known_to_be_cut_though_the_model_would_end_it_like_what_is_whole(marian):
    folder = marian()
    about = GenerationConfig.from_pretrained(folder)
    about.forced_eos_token_id = about.eos_token_id
    about.save_pretrained(folder)
    opened = translator(folder)
    opened._model.final_logits_bias[0, 5] = 1e4
    (found,) = opened.translate(TEXTS[:1], "zh")
    assert (found.finish_reason, found.output_tokens) == ("length", 12)


def test_long_sentences_go_in_parts_and_what_cannot_be_parted_is_known_to_be_cut(marian, monkeypatch):
    opened = translator(marian(), piece_tokens=2000)
    seen, generate = [], opened._model.generate
    monkeypatch.setattr(opened._model, "generate", lambda **how: seen.append(how["input_ids"]) or generate(**how))
    monkeypatch.setattr(opened._model.generation_config, "forced_eos_token_id", 0)
    assert opened.translate(["A bird, " * 60 + "a boat."], "zh")[0].text
    assert all(ids.shape[1] <= 64 for ids in seen) and sum(map(torch.numel, seen)) > 128
    monkeypatch.setattr(opened._model, "generate", lambda **how: torch.tensor([[0, 5, 0]]))
    found = opened.translate(["red" * 100], "zh"), opened.translate(["red"], "zh")
    assert [each.finish_reason for (each,) in found] == ["length", "stop"]


def test_models_for_several_targets_are_told_which(marian):
    opened = translator(marian("cmn_Hans", "jpn"))
    assert opened._target("zh") == (">>cmn_Hans<< ", {})
    with pytest.raises(ValueError, match=r"translates into .*cmn_Hans.*, not into de"):
        opened.translate(TEXTS, "de")


FAMILIES = {
    "m2m_100": ("__en__", "__zh__", "__de__"),
    "nllb": ("eng_Latn", "zho_Hans", "deu_Latn"),
    "madlad": ("<2zh>", "<2de>"),
}


def write_family(folder, name):
    """A tiny random model of the family, whose tokenizer knows English, Chinese and German."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        M2M100Config,
        M2M100ForConditionalGeneration,
        PreTrainedTokenizerFast,
        T5Config,
        T5ForConditionalGeneration,
    )

    words = ["<pad>", "</s>", "<unk>", *FAMILIES[name], *"a A bird crosses the river boat red . The".split()]
    plain = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    signs = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=plain, **signs).save_pretrained(folder)
    sizes = {"vocab_size": len(words), "pad_token_id": 0, "eos_token_id": 1, "d_model": 16}
    if name == "madlad":
        config = T5Config(**sizes, decoder_start_token_id=0, d_ff=32, d_kv=8, num_layers=1, num_heads=2)
        T5ForConditionalGeneration(config).save_pretrained(folder)
    else:
        heads = {f"{side}_attention_heads": 2 for side in ("encoder", "decoder")}
        layers = {f"{side}_layers": 1 for side in ("encoder", "decoder")}
        config = M2M100Config(**sizes, **heads, **layers, decoder_start_token_id=1, max_position_embeddings=64)
        M2M100ForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_told_the_language_in_its_own_way(tmp_path, family, monkeypatch):
    opened, asked = translator(write_family(tmp_path, family)), []
    generate = opened._model.generate
    monkeypatch.setattr(opened._model, "generate", lambda **how: asked.append(how) or generate(**how))
    opened.translate(["A bird crosses the river ."], "zh")
    (how,), signs = asked, opened._tokenizer.convert_ids_to_tokens
    told = signs([how.get("forced_bos_token_id", how["input_ids"][0, 0].item())])
    assert told == [{"m2m_100": "__zh__", "nllb": "zho_Hans", "madlad": "<2zh>"}[family]]
    with pytest.raises(ValueError, match=r"translation\.languages: the model translates into .*, not into fi"):
        opened.translate(["A bird ."], "fi")


def test_a_folder_that_is_no_translator_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"translation\.checkpoint"):
        translator(tmp_path)
