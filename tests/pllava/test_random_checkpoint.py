from __future__ import annotations

import json

import torch

from recap.pllava import left_pad, load_pllava, render_prompt
from recap.pllava.prompts import INSTRUCTIONS
from recap.pllava.random_checkpoint import write_random_checkpoint


def test_one_seed_gives_the_same_bytes_and_another_does_not(tmp_path, written):
    again = write_random_checkpoint(tmp_path / "again", seed=7)
    other = write_random_checkpoint(tmp_path / "other", seed=8)
    files = sorted(path.name for path in written.iterdir())
    assert files == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert all((again / name).read_bytes() == (written / name).read_bytes() for name in files)
    assert (other / "model.safetensors").read_bytes() != (written / "model.safetensors").read_bytes()
    assert sum((written / name).stat().st_size for name in files) < 600_000


def test_it_looks_like_a_published_one(written):
    config = json.loads((written / "config.json").read_text())
    assert config["architectures"] == ["PlavaForConditionalGeneration"]
    model = load_pllava(written)
    assert model.config.pooling_shape == (16, 2, 2)
    assert model.dtype == torch.float32


def test_it_says_words_about_what_it_sees(written):
    model = load_pllava(written)
    torch.manual_seed(0)
    pixels = torch.randn(4 * 16, 3, 56, 56) + torch.randn(4, 1, 3, 1, 1).repeat(1, 16, 1, 1, 1).flatten(0, 1)
    prompt = model.tokenizer(render_prompt("plain", "", INSTRUCTIONS["dense"]))["input_ids"]
    said = model.generate(*left_pad([prompt] * 4, 4), pixels, 24)
    texts = model.tokenizer.batch_decode(said, skip_special_tokens=True)
    assert len(set(texts)) > 1
    words = " ".join(texts).split()
    assert len(set(words)) > 10
    assert all(len(word) > 1 or word in "a,.:;?!'()" for word in words)


def test_shipped_instructions_encode_sensibly(written):
    tokenizer = load_pllava(written).tokenizer
    for text in INSTRUCTIONS.values():
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
        assert len(ids) < 1.6 * len(text.split()) + 12
        assert tokenizer.unk_token_id not in ids
