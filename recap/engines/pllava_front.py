"""Clips to a PLLaVA's prompt embeddings, and its tokens back to captions."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from recap.engines.base import Completion, Engine, Request
from recap.engines.device import keep_to_share, prepared
from recap.engines.front import (
    PROMPT_MARK,
    count_windows,
    decoded_as,
    make_caption,
    make_request,
    prompt_text,
    prompt_texts,
    refused,
)
from recap.engines.memory import is_out_of_memory, memory_errors
from recap.engines.packing import packed
from recap.engines.preflight import missing_vllm
from recap.engines.second import Retry
from recap.engines.settings import EngineSettings, ModelSettings, PromptSettings
from recap.engines.transformers_engine import TransformersEngine
from recap.engines.vllm_engine import vllm_opener
from recap.pllava import Pllava, load_pllava, load_without_blocks, normalise
from recap.pllava.visual import Strategy, get_strategy
from recap.records import Caption, ClipError, FrameRequest, Frames
from recap.timing import Timing

CLIPS_TOGETHER = 4  # in one call of the vision tower on a GPU
NOT_FINITE = "the model's numbers for it exceed what its type can hold: set model.dtype to bfloat16 or float32"


def open_pllava(
    model: ModelSettings,
    prompt: PromptSettings,
    engine: EngineSettings,
    request: FrameRequest,
    headroom: int,
    timing: Timing,
    copies: int = 1,
) -> tuple[Callable[[], Engine], PllavaFront]:
    """What opens a fetched checkpoint's engine, and its front; on a GPU where `engine.gpus_per_actor` grants one.

    `headroom` is how many positions a second attempt may need beyond the first, `copies` how many of these share the
    machine.
    """
    source = {"base": model.base, "lora_alpha": model.lora_alpha, "dtype": model.dtype, "device": _prepared(engine)}
    if engine.kind == "vllm":
        if problem := missing_vllm():
            raise ValueError(problem)
        pllava = packed(load_without_blocks(model.checkpoint, **source))
        open_engine = vllm_opener(pllava, model, engine, timing, copies)
    else:
        pllava = packed(load_pllava(model.checkpoint, **source, device_map=model.device_map))
        open_engine = partial(
            TransformersEngine,
            pllava.language_model,
            end_token_ids=pllava.config.eos_token_ids,
            batch_size=engine.slots,
            headroom=headroom,
            copies=copies,
            cuda_graphs=engine.cuda_graphs,
            timing=timing,
        )
    strategy = get_strategy(model.visual_tokens, model.pooling)
    return open_engine, PllavaFront(pllava, prompt, engine, request, strategy)


class PllavaFront:
    """Asks a PLLaVA about each clip.

    The prompts are rendered and tokenised once. Raises `ValueError` where they do not suit the checkpoint.
    On a GPU the vision tower takes several clips at a time. On a CPU, which gains nothing by that, it takes
    each by itself, so that not even the last bit of what it sees depends on other clips.
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
        self.together = CLIPS_TOGETHER if model.device.type == "cuda" else 1
        self._model, self._engine, self._strategy = model, engine, strategy
        self._prompt = prompt
        self._input_ids = {key: _tokenised(model, text) for key, text in prompt_texts(prompt).items()}

    @torch.inference_mode()
    def requests(self, clips: Sequence[tuple[str, Frames]]) -> list[list[Request] | ClipError]:
        """A request for each prompt; the vision tower runs once for all of them."""
        with memory_errors():
            return self._requests(clips)

    def _requests(self, clips: Sequence[tuple[str, Frames]]) -> list[list[Request] | ClipError]:
        pixels = [frames.pixels for _, frames in clips]
        if len({each.shape for each in pixels}) > 1:
            return [answer for clip in clips for answer in self._requests([clip])]
        try:
            windows = count_windows(clips[0][1], self.request)
            visual = self._look(np.stack(pixels), windows)
        except ValueError as error:  # about the shape, which they share
            return [refused(error) for _ in clips]
        made = zip(clips, visual, finite(visual), strict=True)
        return [self._ask(clip_id, tokens) if sound else _not_finite() for (clip_id, _), tokens, sound in made]

    def _look(self, pixels: np.ndarray, windows: int) -> Tensor:
        """Visual tokens (clips, tokens, hidden) of (clips, pictures, S, S, 3); in halves where memory is short."""
        try:
            pictures = normalise(torch.from_numpy(pixels).to(self._model.device).flatten(0, 1))
            return self._strategy.tokens(self._model, pictures.unflatten(0, pixels.shape[:2]), windows)
        except RuntimeError as error:
            if len(pixels) == 1 or not is_out_of_memory(error):
                raise
        self.together = half = len(pixels) // 2
        return torch.cat([self._look(pixels[:half], windows), self._look(pixels[half:], windows)])

    def _ask(self, clip_id: str, visual: Tensor) -> list[Request]:
        return [
            make_request(clip_id, key, self._engine, embeddings=self._prompt_embeddings(input_ids, visual))
            for key, input_ids in self._input_ids.items()
        ]

    def _prompt_embeddings(self, input_ids: Tensor, visual: Tensor) -> Tensor:
        """Not on the card where vLLM takes them from the CPU, and most of the card."""
        model = self._model
        embeddings = model.prompt_embeddings(input_ids, visual[None].to(model.device))[0]
        return embeddings.cpu() if self._engine.kind == "vllm" else embeddings

    def caption(self, completion: Completion) -> Caption:
        """The text without special tokens and outer white space, NFC."""
        if completion.finish_reason == "not_finite":
            raise _not_finite()
        text = self._model.tokenizer.decode(completion.token_ids, skip_special_tokens=True)
        return make_caption(completion, unicodedata.normalize("NFC", text.strip()))

    @torch.inference_mode()
    def again(self, request: Request, retry: Retry) -> Request:
        """The same visual tokens, taken out of the first request's embeddings."""
        if retry.instruction is None:
            return decoded_as(retry, request)
        first = self._input_ids[request.request_id.rpartition(PROMPT_MARK)[2]]
        start = first.tolist().index(self._model.config.image_token_id)
        visual = request.embeddings[start : start + request.length - len(first) + 1]
        input_ids = _tokenised(self._model, prompt_text(self._prompt, retry.instruction))
        with memory_errors():
            embeddings = self._prompt_embeddings(input_ids, visual)
        return decoded_as(retry, request, embeddings=embeddings)


def finite(visual: Tensor) -> list[bool]:
    """Of which clips all visual tokens (clips, tokens, hidden) are numbers."""
    return visual.isfinite().flatten(1).all(1).tolist()


def _not_finite() -> ClipError:
    return ClipError("caption", "not_finite", NOT_FINITE)


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


def _prepared(engine: EngineSettings) -> str:
    """The device, of which this process takes no more than its share."""
    device = prepared("engine.gpus_per_actor", engine.gpus_per_actor, engine.threads)
    if engine.kind == "transformers":  # vLLM counts its share itself
        keep_to_share(engine.gpus_per_actor)
    return device
