"""The captioner's own language model as a translator, asked in text only."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from recap.engines import UNWATCHED, Completion, Request, complete
from recap.engines.packing import packed
from recap.engines.settings import ModelSettings
from recap.engines.transformers_engine import TransformersEngine
from recap.pllava.checkpoint import load_language_model
from recap.pllava.prompts import IMAGE, render_text_prompt
from recap.translation.base import Translation
from recap.translation.settings import TranslationSettings

SECOND_PENALTY = 1.15


class LanguageModelTranslator:
    """Serves the language model of a fetched PLLaVA with its LoRA merged; tower and projector are not loaded."""

    def __init__(
        self,
        model: ModelSettings,
        template: str,
        settings: TranslationSettings,
        watch: AbstractContextManager = UNWATCHED,
        **engine: Any,
    ):
        self._settings, self._template, self._watch = settings, template, watch
        language_model, self._tokenizer, config = load_language_model(
            model.checkpoint,
            base=model.base,
            lora_alpha=model.lora_alpha,
            dtype=model.dtype,
            device="cuda" if settings.gpus_per_actor else "cpu",
        )
        self._positions = language_model.config.max_position_embeddings
        self._open = partial(
            TransformersEngine,
            packed(language_model),
            end_token_ids=config.eos_token_ids,
            batch_size=settings.batch_size,
            **engine,
        )
        self._engine = self._open()

    def translate(self, texts: Sequence[str], language: str, *, second: bool = False) -> list[Translation]:
        penalty = SECOND_PENALTY if second else 1.0
        requests = [self._request(str(place), text, language, penalty) for place, text in enumerate(texts)]
        try:
            done = {each.request_id: each for each in complete(self._engine, filter(None, requests), self._watch)}
        except Exception:
            self._engine = self._open()  # this one still has the other texts
            raise
        return [self._translation(done.get(str(place))) for place in range(len(texts))]

    def close(self) -> None:
        self._engine.close()

    def _request(self, name: str, text: str, language: str, penalty: float) -> Request | None:
        """None where the model's context has no room for an answer."""
        shown = text.replace(IMAGE, " ")  # there is none here
        prompt = render_text_prompt(self._template, self._settings.asked(language, shown))
        ids = self._tokenizer(prompt)["input_ids"]
        room = min(self._settings.max_new_tokens, self._positions - len(ids))
        return Request(name, room, token_ids=tuple(ids), repetition_penalty=penalty) if room > 0 else None

    def _translation(self, completion: Completion | None) -> Translation:
        if completion is None:
            return Translation("", "length", 0)
        text = self._tokenizer.decode(completion.token_ids, skip_special_tokens=True).strip()
        is_whole = completion.finish_reason == "stop"
        return Translation(text, "stop" if is_whole else "length", len(completion.token_ids))
