"""A tokenizer of a few hundred caption words, for checkpoints of random weights: nothing is trained."""

from __future__ import annotations

import json
import string
from importlib.resources import files

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from recap.pllava.prompts import IMAGE

SPECIALS = ("<unk>", "<s>", "</s>", IMAGE, "<pad>")
_SPACE = "▁"


def caption_words() -> list[str]:
    """The words and marks that the vocabulary is made of, each once, in a fixed order."""
    data = json.loads(files(__package__).joinpath("vocabulary.json").read_text(encoding="utf-8"))
    return list(dict.fromkeys(data["words"].split() + data["marks"].split()))


def vocabulary() -> list[str]:
    """All pieces in order of id: special tokens, words (with their space) and marks, characters."""
    words = [_SPACE + word if word.isalpha() else word for word in caption_words()]
    letters = [_SPACE, *string.ascii_letters, *string.digits, *string.punctuation, "\n"]
    return [*SPECIALS, *dict.fromkeys(words + letters)]


def random_tokenizer() -> PreTrainedTokenizerFast:
    """A fast tokenizer over `vocabulary()` that puts `<s>` first; unknown words are spelt out."""
    scores = [0.0 if piece in SPECIALS else -10.0 if len(piece) == 1 else -1.0 for piece in vocabulary()]
    tokenizer = Tokenizer(models.Unigram(list(zip(vocabulary(), scores, strict=True)), unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return wrapped(tokenizer)


def wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """`tokenizer` with `SPECIALS` in their roles and `<s>` before every text."""
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=[IMAGE],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
