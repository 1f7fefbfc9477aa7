"""The translator that ships, and how it is made."""

from __future__ import annotations

import importlib.util
import json
import random
import unicodedata
import warnings

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from transformers import MarianMTModel, MarianTokenizer

from recap.cli import main
from recap.pllava.hub import named_folder
from recap.pocket import chinese, english
from recap.pocket.marian import load_tokenizer, untrained
from recap.pocket.recipes import LearnSettings, load_translator_recipe
from recap.pocket.sentences import draw_facts
from recap.pocket.translation import train_translator
from recap.records import Caption
from recap.review import Context
from recap.review.translated import review_translation

FOLDER = named_folder("pocket-en-zh")


@pytest.fixture(scope="module")
def translator():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        tokenizer = MarianTokenizer.from_pretrained(FOLDER)
    model, loading = MarianMTModel.from_pretrained(FOLDER, output_loading_info=True)
    assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), loading
    return model.eval(), tokenizer


@pytest.fixture(scope="module")
def facts():
    chance = random.Random(20)
    return [draw_facts(chance, held_out=True) for _ in range(16)]


@torch.inference_mode()
def translate(translator, texts):
    model, tokenizer = translator
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    return tokenizer.batch_decode(model.generate(**batch, num_beams=1, max_length=128), skip_special_tokens=True)


def test_it_is_small_and_has_the_published_layout(translator):
    published = {"config.json", "generation_config.json", "model.safetensors", "source.spm", "target.spm"}
    published |= {"vocab.json", "tokenizer_config.json"}
    assert {file.name for file in FOLDER.iterdir()} == published
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 4e6
    model, tokenizer = translator
    assert model.dtype == torch.float32
    assert model.config.vocab_size == len(tokenizer)
    assert (tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1)
    assert model.config.decoder_start_token_id == tokenizer.pad_token_id == len(tokenizer) - 1


def test_held_out_captions_come_out_word_for_word(translator, facts):
    translations = translate(translator, [english(said) for said in facts])
    assert translations == [chinese(said) for said in facts]
    assert all(text.endswith("。") and " " not in text for text in translations)
    assert all(unicodedata.is_normalized("NFC", text) for text in translations)


def test_the_review_finds_nothing_in_them(translator, facts):
    sources = [english(said) for said in facts]
    for source, translated in zip(sources, translate(translator, sources), strict=True):
        reviewed = review_translation(
            Caption("detail", "en", source), Caption("detail", "zh", translated), Context(instruction="", system="")
        )
        assert reviewed.flags == ()


def test_a_caption_comes_out_the_same_alone_and_among_others_and_again(translator, facts):
    sources = [english(said) for said in facts]
    together = translate(translator, sources)
    assert together == translate(translator, sources)
    assert together == [text for source in sources for text in translate(translator, [source])]


def test_every_english_letter_has_a_piece(translator):
    _, tokenizer = translator
    ids = tokenizer("The quick brown fox jumps over a lazy dog, 1234567890. ABCDEFGHIJKLMNOPQRSTUVWXYZ").input_ids
    assert tokenizer.unk_token_id not in ids


@pytest.fixture
def small_tokenizer(monkeypatch):
    monkeypatch.setattr("recap.pocket.translation.TOKENIZER_SENTENCES", 500)


def learn(steps, seed):
    return LearnSettings(steps=steps, seed=seed, batch_size=4, learning_rate=2e-3)


def trained(folder, steps, seed):
    train_translator(folder, learn(steps, seed))
    return load_file(folder / "model.safetensors")


def test_one_seed_gives_one_translator_and_it_learns(tmp_path, small_tokenizer):
    one = trained(tmp_path / "one", steps=2, seed=3)
    two = trained(tmp_path / "two", steps=2, seed=3)
    assert all(torch.equal(one[key], two[key]) for key in one)
    start = untrained(load_tokenizer(tmp_path / "one"), 3).state_dict()
    assert any(not torch.equal(one[key], start[key]) for key in one)


def test_a_killed_training_goes_on_where_it_was(tmp_path, monkeypatch, small_tokenizer):
    monkeypatch.setattr("recap.pocket.translation.SAVE_EVERY", 2)
    whole = trained(tmp_path / "whole", steps=4, seed=3)
    taken = []

    def kill(step, loss):
        taken.append(step)
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_translator(tmp_path / "killed", learn(4, 3), on_step=kill)
    words = (tmp_path / "killed/vocab.json").read_bytes()
    with pytest.raises(ValueError, match="training with seed 3, not 5"):
        train_translator(tmp_path / "killed", learn(4, 5))
    assert (tmp_path / "killed/vocab.json").read_bytes() == words
    train_translator(tmp_path / "killed", learn(4, 3), on_step=lambda step, _: taken.append(step))
    assert taken == [1, 2, 3, 3, 4]
    assert not (tmp_path / "killed/state.pt").exists()
    resumed = load_file(tmp_path / "killed/model.safetensors")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_the_command_says_how_well_it_learnt(home, tmp_path):
    recipe = home / "pipelines/pocket/translator.yaml"
    overrides = ["train.steps=2", "train.seed=1", f"output.path={tmp_path / 't'}"]
    result = CliRunner().invoke(main, ["pocket", "translator", str(recipe), *overrides])
    assert result.exit_code == 0 and "loss" in result.output, result.output
    assert {file.name for file in (tmp_path / "t").iterdir()} == {file.name for file in FOLDER.iterdir()}


@pytest.fixture(scope="module")
def benchmark(home):
    spec = importlib.util.spec_from_file_location("pocket_translation", home / "benchmarks/pocket_translation.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *options: CliRunner().invoke(module.main, ["--count", "12", "--json", *map(str, options)])


def test_the_benchmark_passes_the_one_that_ships(benchmark):
    result = benchmark("--seed", 77)
    found = json.loads(result.stdout.splitlines()[-1])
    assert result.exit_code == 0, result.output
    assert found.keys() == {"clips", "grammar"}
    assert {(figures["captions"], figures["whole"]) for figures in found.values()} == {(12, 1.0)}


def test_the_benchmark_fails_one_that_knows_nothing(benchmark, tmp_path, small_tokenizer):
    train_translator(tmp_path, learn(1, 1))
    result = benchmark("--translator", tmp_path)
    assert result.exit_code == 1
    assert json.loads(result.stdout.splitlines()[-1])["clips"]["whole"] == 0


def test_a_recipe_that_never_learns_is_refused(home):
    with pytest.raises(ValueError, match=r"train\.steps must be above 0, not 0"):
        load_translator_recipe(home / "pipelines/pocket/translator.yaml", ["train.steps=0"])
