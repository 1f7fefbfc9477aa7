"""What stands between clips and an engine: frames into requests, completions into captions. No torch here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Protocol

from recap.engines.base import Completion, Request
from recap.engines.rehearsal import decode
from recap.engines.second import Retry
from recap.engines.settings import EngineSettings, PromptSettings
from recap.pllava.prompts import render_prompt, resolve_instruction, resolve_system, template_slots
from recap.records import Caption, ClipError, FrameRequest, Frames

PROMPT_MARK = "/"
log = logging.getLogger(__name__)


class Front(Protocol):
    """Knows what a model wants to see of a clip (`request`), how it is asked, and how many clips at a time."""

    request: FrameRequest
    together: int

    def requests(self, clips: Sequence[tuple[str, Frames]]) -> list[list[Request] | ClipError]:
        """For each clip, given by its id, one request per prompt, the primary one first, or why it has none.

        Raises `MemoryError` where not even one clip can be looked at.
        """

    def caption(self, completion: Completion) -> Caption:
        """The completion of one of those requests as text. `ClipError` where there is none."""

    def again(self, request: Request, retry: Retry) -> Request:
        """A second request about what `request` shows. `ValueError` where there can be none, `MemoryError` as above."""


class RehearsalFront:
    """Asks the rehearsal engine: its prompt is a digest of every pixel, so a swapped frame shows."""

    together = 1

    def __init__(self, prompt: PromptSettings, engine: EngineSettings, request: FrameRequest):
        self.request = request
        self._engine = engine
        self._texts = prompt_texts(prompt)

    def requests(self, clips: Sequence[tuple[str, Frames]]) -> list[list[Request] | ClipError]:
        return [self._ask(clip_id, frames) for clip_id, frames in clips]

    def _ask(self, clip_id: str, frames: Frames) -> list[Request] | ClipError:
        try:
            count_windows(frames, self.request)
        except ValueError as error:
            return refused(error)
        return [
            make_request(clip_id, name, self._engine, token_ids=_digest(text, frames))
            for name, text in self._texts.items()
        ]

    def caption(self, completion: Completion) -> Caption:
        return make_caption(completion, decode(completion.token_ids))

    def again(self, request: Request, retry: Retry) -> Request:
        ids = request.token_ids
        if retry.instruction is not None:
            ids = tuple(blake2b(bytes(ids) + retry.instruction.encode(), digest_size=16).digest())
        return decoded_as(retry, request, token_ids=ids)


def prompt_texts(prompt: PromptSettings) -> dict[str, str]:
    """What the model reads around the clip, for each prompt by its name.

    `ValueError` for a text that the template has no place for.
    """
    if prompt.system and "system" not in template_slots(prompt.template):
        raise ValueError(
            f"prompt.system is set, but the template {prompt.template!r} has no place for it: "
            "leave it out, put it into prompt.instruction, or choose another prompt.template"
        )
    return {name: prompt_text(prompt, text) for name, text in prompt.instructions.items()}


def prompt_text(prompt: PromptSettings, instruction: str) -> str:
    """What the model reads around the clip where it is asked `instruction`, a shipped name or words."""
    return render_prompt(prompt.template, resolve_system(prompt.system), resolve_instruction(instruction))


def count_windows(frames: Frames, request: FrameRequest) -> int:
    """How many windows the pictures make, `ValueError` where they are not what was asked for."""
    columns, rows = request.tiles
    pictures, shape = request.count // (columns * rows), frames.pixels.shape
    if len(shape) != 4 or shape[1:] != (request.size, request.size, 3) or shape[0] == 0 or shape[0] % pictures:
        raise ValueError(
            f"frames of shape {shape}; the model takes a multiple of {pictures} of ({request.size}, {request.size}, 3)"
        )
    return shape[0] // pictures


def refused(error: Exception) -> ClipError:
    """What becomes of a clip that the model cannot be shown, or of whose text recap makes nothing."""
    if isinstance(error, ValueError):
        return ClipError("caption", "refused", str(error))
    log.error("a text could not be read or reviewed", exc_info=error)
    return ClipError("caption", "text_error", f"its text could not be read or reviewed ({type(error).__name__})")


def make_request(clip_id: str, prompt_name: str, engine: EngineSettings, **model_prompt) -> Request:
    """A request for `embeddings` or `token_ids`, with the decoding settings and the clip's own seed."""
    return Request(
        clip_id + PROMPT_MARK + prompt_name,
        engine.max_new_tokens,
        repetition_penalty=engine.repetition_penalty,
        temperature=engine.temperature,
        seed=_seed(engine.seed, clip_id),
        **model_prompt,
    )


def decoded_as(retry: Retry, request: Request, **model_prompt) -> Request:
    """`request` once more, with its own seed, as `retry` wants it decoded."""
    decoding = {"max_new_tokens": retry.max_new_tokens, "repetition_penalty": retry.repetition_penalty}
    return replace(request, **decoding, **model_prompt)


def make_caption(completion: Completion, text: str) -> Caption:
    """`text` under the prompt that `make_request` asked for."""
    return Caption(
        prompt=completion.request_id.rpartition(PROMPT_MARK)[2],
        text=text,
        finish_reason=completion.finish_reason,
        output_tokens=len(completion.token_ids),
    )


def _digest(text: str, frames: Frames) -> tuple[int, ...]:
    digest = blake2b(text.encode(), digest_size=16)
    digest.update(frames.pixels.tobytes())
    return tuple(digest.digest())


def _seed(seed: int, clip_id: str) -> int:
    return int.from_bytes(blake2b(f"{seed}/{clip_id}".encode(), digest_size=6).digest())
