"""Clips to a PLLaVA's prompt embeddings, and its tokens back to captions."""

from __future__ import annotations

import unicodedata

import torch

from recap.engines.base import Completion, Request
from recap.engines.front import count_windows, make_caption, make_request, prompt_texts
from recap.engines.settings import EngineSettings, ModelSettings, PromptSettings
from recap.engines.transformers_engine import TransformersEngine
from recap.pllava import Pllava, load_pllava, normalise
from recap.pllava.visual import Strategy, get_strategy
from recap.records import Caption, FrameRequest, Frames


def open_pllava(
    model: ModelSettings, prompt: PromptSettings, engine: EngineSettings, request: FrameRequest
) -> tuple[TransformersEngine, PllavaFront]:
    """A fetched checkpoint's engine and front, on a GPU where `engine.gpus_per_actor` grants one."""
    pllava = load_pllava(
        model.checkpoint,
        base=model.base,
        lora_alpha=model.lora_alpha,
        dtype=model.dtype,
        device=_device(engine),
        device_map=model.device_map,
    )
    strategy = get_strategy(model.visual_tokens, model.pooling)
    front = PllavaFront(pllava, prompt, engine, request, strategy)
    served = TransformersEngine(
        pllava.language_model,
        end_token_ids=pllava.config.eos_token_ids,
        pad_token_id=next(iter(pllava.config.pad_token_ids), None),
        batch_size=engine.batch_size,
    )
    return served, front


class PllavaFront:
    """Asks a PLLaVA about each clip.

    The prompts are rendered and tokenised once. Raises `ValueError` where they do not suit the checkpoint.
    """

    def __init__(
        self,
        model: Pllava,
        prompt: PromptSettings,
        engine: EngineSettings,
        request: FrameRequest,
        strategy: Strategy,
    ):
        self.request = request
        self._model, self._engine, self._strategy = model, engine, strategy
        self._input_ids = {key: _tokenised(model, text) for key, text in prompt_texts(prompt).items()}

    @torch.inference_mode()
    def requests(self, clip_id: str, frames: Frames) -> list[Request]:
        """A request for each prompt; the vision tower runs once for all of them."""
        windows = count_windows(frames, self.request)
        # A copy: frames out of Ray's object store are read-only, which torch does not know.
        pixels = torch.tensor(frames.pixels, device=self._model.device)
        visual = self._strategy.tokens(self._model, normalise(pixels), windows)
        return [
            make_request(clip_id, key, self._engine, embeddings=self._model.prompt_embeddings(input_ids, visual)[0])
            for key, input_ids in self._input_ids.items()
        ]

    def caption(self, completion: Completion) -> Caption:
        """The text without special tokens and outer white space, NFC."""
        text = self._model.tokenizer.decode(completion.token_ids, skip_special_tokens=True)
        return make_caption(completion, unicodedata.normalize("NFC", text.strip()))


def _tokenised(model: Pllava, text: str) -> torch.Tensor:
    if model.tokenizer is None:
        raise ValueError("model.checkpoint has no tokenizer.json: copy the one that was published with these weights")
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
