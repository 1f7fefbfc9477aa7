from __future__ import annotations

import json

import pytest
import torch

WORDS = ["a", "bird", "crosses", "the", "river", ".", "boat", "red"]


@pytest.fixture(scope="session")
def marian(tmp_path_factory):
    """A function that writes a tiny random MarianMT folder, with or without signs for its targets."""
    import sentencepiece
    from transformers import MarianConfig, MarianMTModel

    def write(*targets: str):
        folder = tmp_path_factory.mktemp("marian")
        (folder / "text").write_text("\n".join(" ".join(WORDS[i:] + WORDS[:i]) for i in range(8)) * 20)
        for side in ("source", "target"):
            sentencepiece.SentencePieceTrainer.train(
                input=str(folder / "text"), model_prefix=str(folder / side), vocab_size=40, hard_vocab_limit=False
            )
            (folder / f"{side}.model").rename(folder / f"{side}.spm")
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
        names = [pieces.id_to_piece(i) for i in range(pieces.vocab_size())]
        signs = [f">>{target}<<" for target in targets]
        vocabulary = dict.fromkeys(["</s>", "<unk>", *signs, *(n for n in names if n not in ("<s>", "</s>", "<unk>"))])
        ids = {name: place for place, name in enumerate([*vocabulary, "<pad>"])}
        (folder / "vocab.json").write_text(json.dumps(ids))
        (folder / "tokenizer_config.json").write_text(
            json.dumps({"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "zh"})
        )
        torch.manual_seed(0)
        config = MarianConfig(
            vocab_size=len(ids), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=64,
            pad_token_id=ids["<pad>"], eos_token_id=0, decoder_start_token_id=ids["<pad>"], forced_eos_token_id=0,
        )  # fmt: skip
        MarianMTModel(config).save_pretrained(folder)
        return folder

    return write
