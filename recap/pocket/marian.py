"""A translator of random weights in the layout of the OPUS models, with a vocabulary made from what it will read."""

from __future__ import annotations

import io
import json
import string
import warnings
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
import torch
from transformers import GenerationConfig, MarianConfig, MarianMTModel, MarianTokenizer

WIDTH, FEED_FORWARD, HEADS, LAYERS = 96, 320, 4, 2
LONGEST = 512  # tokens, as in the published models
ENGLISH_PIECES = {
    "vocab_size": 220,
    "normalization_rule_name": "nmt_nfkc",
    "required_chars": string.ascii_letters + string.digits + ",.",
}
CHINESE_PIECES = {
    "vocab_size": 110,
    "normalization_rule_name": "identity",  # the other rules turn ， into a comma
    "max_sentencepiece_length": 2,
}
_END, _UNKNOWN, _PAD = "</s>", "<unk>", "<pad>"


def write_tokenizer(folder: Path, english: Iterable[str], chinese: Iterable[str]) -> MarianTokenizer:
    """Write source.spm, target.spm and their one vocabulary to `folder`; the tokenizer that they are."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = _make_pieces(folder / "source.spm", english, ENGLISH_PIECES)
    pieces += _make_pieces(folder / "target.spm", chinese, CHINESE_PIECES)
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys((_END, _UNKNOWN, *pieces, _PAD)))}
    settings = {
        "tokenizer_class": "MarianTokenizer",
        "source_lang": "en",
        "target_lang": "zh",
        "model_max_length": LONGEST,
        "eos_token": _END,
        "unk_token": _UNKNOWN,
        "pad_token": _PAD,
    }
    for name, content in (("vocab.json", vocabulary), ("tokenizer_config.json", settings)):
        text = json.dumps(content, ensure_ascii=False, indent=1)
        (folder / name).write_text(text + "\n", encoding="utf-8")
    return load_tokenizer(folder)


def load_tokenizer(folder: Path) -> MarianTokenizer:
    """The tokenizer in `folder`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*sacremoses")  # MarianTokenizer asks for it and never calls it
        return MarianTokenizer.from_pretrained(folder)


def untrained(tokenizer: MarianTokenizer, seed: int) -> MarianMTModel:
    """A model for `tokenizer` whose weights `seed` draws; it translates greedily unless told otherwise."""
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    config = MarianConfig(
        vocab_size=tokenizer.vocab_size,
        d_model=WIDTH,
        init_std=WIDTH**-0.5,
        scale_embedding=True,
        activation_function="swish",
        dropout=0.0,
        max_position_embeddings=LONGEST,
        eos_token_id=end,
        forced_eos_token_id=end,
        pad_token_id=pad,
        decoder_start_token_id=pad,
        **{f"{half}_layers": LAYERS for half in ("encoder", "decoder")},
        **{f"{half}_ffn_dim": FEED_FORWARD for half in ("encoder", "decoder")},
        **{f"{half}_attention_heads": HEADS for half in ("encoder", "decoder")},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MarianMTModel(config)
    model.generation_config = GenerationConfig(
        eos_token_id=end,
        forced_eos_token_id=end,
        pad_token_id=pad,
        decoder_start_token_id=pad,
        bad_words_ids=[[pad]],
        max_length=LONGEST,
        num_beams=1,
    )
    return model


def _make_pieces(path: Path, texts: Iterable[str], options: dict[str, str | int]) -> list[str]:
    """Train a SentencePiece model on `texts` and write it to `path`; its pieces."""
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=made,
        model_type="bpe",
        character_coverage=1.0,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    path.write_bytes(made.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())
    return [processor.id_to_piece(place) for place in range(processor.get_piece_size())]
