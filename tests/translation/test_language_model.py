from __future__ import annotations

import pytest
import torch
from torch import nn

from recap.engines import ModelSettings, packing
from recap.pllava import load_pllava
from recap.pllava.prompts import render_text_prompt
from recap.pllava.random_checkpoint import write_random_checkpoint
from recap.translation import Translation, TranslationSettings, language_model, open_translator
from recap.translation.language_model import LanguageModelTranslator

TEXTS = ["A bird crosses the river.", "A red boat lies on the water, and a dog looks at it."]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_random_checkpoint(tmp_path_factory.mktemp("model"), seed=3, num_frames=4, pooling_shape=(4, 2, 2))


def test_it_says_what_the_whole_model_would(checkpoint):
    settings = TranslationSettings(("zh",), "llm", instruction="Put into {language}: {text}", max_new_tokens=60)
    translator = LanguageModelTranslator(ModelSettings(str(checkpoint), dtype="float32"), "plain", settings)
    pllava = load_pllava(checkpoint, dtype="float32")
    for text, found in zip(TEXTS, translator.translate(TEXTS, "zh"), strict=True):
        asked = pllava.tokenizer(render_text_prompt("plain", f"Put into Chinese: {text}"), return_tensors="pt")
        ids = asked["input_ids"]
        ends = list(pllava.config.eos_token_ids)
        row = pllava.language_model.generate(**asked, max_new_tokens=60, do_sample=False, eos_token_id=ends)
        row = row[0, ids.shape[1] :]
        assert found.text == pllava.tokenizer.decode(row, skip_special_tokens=True).strip()
    assert translator.translate(TEXTS, "zh", second=True) != translator.translate(TEXTS, "zh")
    translator.close()


@pytest.mark.skipif(not packing.pays(), reason="nothing is packed on this processor")
def test_in_float32_its_model_is_packed(checkpoint):
    settings = TranslationSettings(("zh",), "llm")
    translator = LanguageModelTranslator(ModelSettings(str(checkpoint), dtype="float32"), "plain", settings)
    assert not any(type(module) is nn.Linear for module in translator._engine._model.modules())
    translator.close()


def test_no_more_is_asked_for_than_the_context_holds(checkpoint):
    settings = TranslationSettings(("zh",), "llm", max_new_tokens=100_000)
    translator = LanguageModelTranslator(ModelSettings(str(checkpoint), dtype="float32"), "plain", settings)
    request = translator._request("0", TEXTS[0], "zh", 1.0)
    assert request.length + request.max_new_tokens == translator._positions
    translator.close()


def test_what_has_no_room_in_the_context_stays_empty_and_holds_up_no_other(checkpoint):
    settings = TranslationSettings(("zh",), "llm", max_new_tokens=4)
    translator = LanguageModelTranslator(ModelSettings(str(checkpoint), dtype="float32"), "plain", settings)
    long, short = translator.translate(["word " * translator._positions, TEXTS[0]], "zh")
    assert long == Translation("", "length", 0) and short == translator.translate(TEXTS[:1], "zh")[0]
    translator.close()


def test_a_caption_that_holds_the_image_token_is_asked_about_without_it(checkpoint):
    settings = TranslationSettings(("zh",), "llm", max_new_tokens=4)
    translator = LanguageModelTranslator(ModelSettings(str(checkpoint), dtype="float32"), "plain", settings)
    assert translator.translate(["A bird <image>."], "zh") == translator.translate(["A bird  ."], "zh")
    translator.close()


def test_a_text_that_the_engine_fails_on_leaves_nothing_behind(checkpoint, monkeypatch):
    settings = TranslationSettings(("zh",), "llm", max_new_tokens=4)
    translator = LanguageModelTranslator(ModelSettings(str(checkpoint), dtype="float32"), "plain", settings)
    alone = translator.translate(TEXTS[1:], "zh")
    monkeypatch.setattr(translator._engine, "step", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        translator.translate(TEXTS, "zh")
    assert translator.translate(TEXTS[1:], "zh") == alone
    translator.close()


def test_no_tower_is_loaded(checkpoint, monkeypatch):
    from recap.pllava import checkpoint as loading

    read = []
    monkeypatch.setattr(loading, "gather", lambda blocks, into: read.append(into.shape))
    monkeypatch.setattr(torch, "empty_like", torch.zeros_like)
    model, _, _ = loading.load_language_model(checkpoint, dtype="float32")
    assert len(read) == len(list(model.parameters()))


@pytest.mark.parametrize("template", ["plain", "eval_recaption", "eval_recaption_llavanext"])
def test_text_prompts_show_no_picture(template):
    prompt = render_text_prompt(template, "Translate this.")
    assert "<image>" not in prompt and prompt.count("Translate this.") == 1
    assert prompt.count("USER") + prompt.count("user") == 1


def test_the_captioners_engine_settings_are_the_translators_too(checkpoint, monkeypatch):
    asked = []
    monkeypatch.setattr(language_model, "TransformersEngine", lambda model, **how: asked.append(how))
    settings = TranslationSettings(("zh",), "llm")
    open_translator(settings, ModelSettings(str(checkpoint)), "plain", copies=3, cuda_graphs=False)
    assert (asked[0]["copies"], asked[0]["cuda_graphs"]) == (3, False)
