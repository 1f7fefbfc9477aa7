"""Translation models of the sequence-to-sequence kind: MarianMT (OPUS), M2M-100, NLLB and MADLAD."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from recap.engines import UNWATCHED
from recap.engines.memory import is_out_of_memory
from recap.translation.base import Translation
from recap.translation.names import NLLB, sign_of
from recap.translation.settings import TranslationSettings
from recap.translation.text import joined, pieces

log = logging.getLogger(__name__)
SECOND = {"num_beams": 4, "no_repeat_ngram_size": 4}


class Seq2SeqTranslator:
    """Serves one model folder. Texts are sorted by length, so that little of a batch is padding."""

    def __init__(self, folder: Path, settings: TranslationSettings, watch: AbstractContextManager = UNWATCHED):
        self._settings, self._watch = settings, watch
        self._device = "cuda" if settings.gpus_per_actor else "cpu"
        self._tokenizer = _tokenizer(folder)
        self._model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=self._dtype()).to(self._device).eval()
        self._model.generation_config.max_length = None  # else it warns at every call that ours counts
        self._model.generation_config.forced_eos_token_id = None  # else what is cut ends like what is whole
        self._kind = self._model.config.model_type
        self._positions = getattr(self._model.config, "max_position_embeddings", sys.maxsize)
        self._most = min(self._positions, self._tokenizer.model_max_length)  # tokens of a source text

    def _dtype(self) -> str:
        is_auto = self._settings.dtype == "auto"
        return "float32" if is_auto and self._device == "cpu" else self._settings.dtype

    def translate(self, texts: Sequence[str], language: str, *, second: bool = False) -> list[Translation]:
        prefix, extra = self._target(language)
        limit = self._most - self._length(prefix)
        cut = [pieces(text, self._length, min(self._settings.piece_tokens, limit), limit) for text in texts]
        flat = [prefix + piece for of_text in cut for piece in of_text]
        order = sorted(range(len(flat)), key=lambda place: -len(flat[place]))
        size, done = self._settings.batch_size, dict[int, Translation]()
        for start in range(0, len(flat), size):
            places = order[start : start + size]
            done |= zip(places, self._with_room([flat[place] for place in places], extra, second), strict=True)
        answers = iter([done[place] for place in range(len(flat))])
        return [_whole(list(islice(answers, len(of_text))), language) for of_text in cut]

    def close(self) -> None:
        del self._model

    def _length(self, text: str) -> int:
        return len(self._tokenizer(text)["input_ids"])

    def _with_room(self, texts: list[str], extra: dict[str, Any], second: bool) -> list[Translation]:
        """`_batch`, in halves where a card has no memory for all at once."""
        try:
            with self._watch:
                return list(self._batch(texts, extra, second))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(texts) == 1:
                raise MemoryError(
                    "one text alone does not fit into memory: lower translation.piece_tokens or translation.beams, or "
                    f"give each copy more of a card (translation.gpus_per_actor) ({error})"
                ) from None
            log.warning("a card has no memory to translate %d texts together: %s", len(texts), error)
        half = len(texts) // 2
        return self._with_room(texts[:half], extra, second) + self._with_room(texts[half:], extra, second)

    @torch.inference_mode()
    def _batch(self, texts: list[str], extra: dict[str, Any], second: bool) -> Iterator[Translation]:
        limit = min(self._settings.max_new_tokens, self._positions)
        how = {"return_tensors": "pt", "padding": True, "truncation": True, "max_length": self._most}
        asked = self._tokenizer(texts, **how).to(self._device)
        search = SECOND if second else {"num_beams": self._settings.beams}
        rows = self._model.generate(**asked, do_sample=False, max_new_tokens=limit, **search, **extra)
        end, pad = self._model.generation_config.eos_token_id, self._model.generation_config.pad_token_id
        for source, row in zip(texts, rows.tolist(), strict=True):
            tokens = [token for token in row[1:] if token != pad]
            text = self._tokenizer.decode(row, skip_special_tokens=True).strip()
            is_whole = end in tokens and self._length(source) <= self._most
            yield Translation(text, "stop" if is_whole else "length", len(tokens))

    def _target(self, language: str) -> tuple[str, dict[str, Any]]:
        """What stands before a text, and what `generate` is told, so that it comes out in `language`."""
        vocabulary = self._tokenizer.get_vocab()
        if self._kind == "marian" and not self._tokenizer.supported_language_codes:
            return "", {}  # it has one target
        sign = sign_of(language, vocabulary)
        if self._kind in ("marian", "t5"):
            return f"{sign} ", {}
        self._tokenizer.src_lang = NLLB["en"] if NLLB["en"] in vocabulary else "en"
        return "", {"forced_bos_token_id": self._tokenizer.convert_tokens_to_ids(sign)}


def _tokenizer(folder: Path) -> Any:
    # MarianTokenizer recommends a package that it does not use.
    warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
    try:
        return AutoTokenizer.from_pretrained(folder)
    except (ImportError, ValueError, OSError) as error:
        raise ValueError(f"translation.checkpoint: the tokenizer in {folder} cannot be opened: {error}") from None


def _whole(parts: list[Translation], language: str) -> Translation:
    reason = "length" if any(part.finish_reason == "length" for part in parts) else "stop"
    return Translation(joined((part.text for part in parts), language), reason, sum(p.output_tokens for p in parts))
