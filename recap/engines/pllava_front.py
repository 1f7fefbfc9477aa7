"""Clips to a PLLaVA's prompt embeddings, and its tokens back to captions."""

from __future__ import annotations

import unicodedata

import torch

from recap.engines.base import Completion, Request
from recap.engines.fetching import model_name
from recap.engines.front import check_frames, make_caption, make_request, prompt_text
from recap.engines.opening import resolve_checkpoint
from recap.engines.settings import EngineSettings, ModelSettings, PromptSettings
from recap.engines.transformers_engine import TransformersEngine
from recap.pllava import Pllava, load_pllava, normalise
from recap.records import Caption, Frames


def open_pllava(
    model: ModelSettings, prompt: PromptSettings, engine: EngineSettings, frames_count: int
) -> tuple[TransformersEngine, PllavaFront]:
    """The loaded checkpoint's engine and front, on a GPU where `engine.gpus_per_actor` grants one."""
    pllava = load_pllava(
        resolve_checkpoint(model.checkpoint, model.revision),
        base=resolve_checkpoint(model.base) if model.base else None,
        lora_alpha=model.lora_alpha,
        dtype=model.dtype,
        device=_device(engine),
    )
    front = PllavaFront(pllava, prompt, engine, frames_count, name=model_name(model))
    served = TransformersEngine(
        pllava.language_model,
        end_token_ids=pllava.config.eos_token_ids,
        pad_token_id=next(iter(pllava.config.pad_token_ids), None),
        batch_size=engine.batch_size,
    )
    return served, front


class PllavaFront:
    """Asks a PLLaVA about `count` frames a clip; `name` is what its captions say they are by.

    The prompt is rendered and tokenised once. Raises `ValueError` where it does not suit the checkpoint.
    """

    def __init__(
        self, model: Pllava, prompt: PromptSettings, engine: EngineSettings, count: int, *, name: str
    ):
        self.size, self.count = model.config.image_size, count
        self._model, self._name = model, name
        self._prompt, self._engine = prompt, engine
        self._input_ids = _tokenised(model, prompt_text(prompt))

    @torch.inference_mode()
    def requests(self, clip_id: str, frames: Frames) -> list[Request]:
        """One request. The visual tokens of several windows follow each other in the prompt."""
        check_frames(frames, self.size, self.count)
        # A copy: frames out of Ray's object store are read-only, which torch does not know.
        pixels = torch.tensor(frames.pixels, device=self._model.device)
        windows = self._model.visual_tokens(normalise(pixels), num_frames=self.count)
        (embeddings,) = self._model.prompt_embeddings(self._input_ids, windows.flatten(0, 1)[None])
        return [make_request(clip_id, self._prompt, self._engine, embeddings=embeddings)]

    def caption(self, completion: Completion) -> Caption:
        """The text without special tokens and outer white space, NFC."""
        text = self._model.tokenizer.decode(completion.token_ids, skip_special_tokens=True)
        return make_caption(completion, unicodedata.normalize("NFC", text.strip()), model=self._name)


def _tokenised(model: Pllava, text: str) -> torch.Tensor:
    if model.tokenizer is None:
        raise ValueError(
            "model.checkpoint has no tokenizer.json: copy the one that was published with these weights"
        )
    ids = model.tokenizer(text)["input_ids"]
    found, image = ids.count(model.config.image_token_id), model.config.image_token_id
    if found != 1:
        raise ValueError(
            f"the prompt holds the image token (id {image}) {found} times, not once: the tokenizer splits "
            "<image>, or the prompt's own text contains it; take the checkpoint's own tokenizer.json"
        )
    return torch.tensor(ids)


def _device(engine: EngineSettings) -> str:
    if engine.gpus_per_actor and not torch.cuda.is_available():
        raise ValueError(
            f"engine.gpus_per_actor is {engine.gpus_per_actor}, but torch sees no GPU here: set it to 0, or "
            "install the torch build for this machine's GPU"
        )
    return "cuda" if engine.gpus_per_actor else "cpu"
