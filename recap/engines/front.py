"""What stands between clips and an engine: frames into requests, completions into captions. No torch here."""

from __future__ import annotations

from hashlib import blake2b
from typing import Protocol

from recap.engines.base import Completion, Request
from recap.engines.rehearsal import decode
from recap.engines.settings import EngineSettings, PromptSettings
from recap.pllava.prompts import render_prompt, resolve_instruction, resolve_system, template_slots
from recap.records import Caption, Frames

PROMPT_MARK = "/"


class Front(Protocol):
    """Knows what frames a model wants (`count` square pictures of `size` pixels) and how it is asked."""

    size: int
    count: int

    def requests(self, clip_id: str, frames: Frames) -> list[Request]:
        """One request per prompt, the primary one first. Raises `ValueError` for frames it cannot use."""

    def caption(self, completion: Completion) -> Caption:
        """The completion of one of those requests as text."""


class RehearsalFront:
    """Asks the rehearsal engine: its prompt is a digest of every pixel, so a swapped frame shows."""

    def __init__(self, prompt: PromptSettings, engine: EngineSettings, *, size: int, count: int):
        self.size, self.count = size, count
        self._prompt, self._engine = prompt, engine
        self._text = prompt_text(prompt)

    def requests(self, clip_id: str, frames: Frames) -> list[Request]:
        check_frames(frames, self.size, self.count)
        digest = blake2b(self._text.encode(), digest_size=16)
        digest.update(frames.pixels.tobytes())
        return [make_request(clip_id, self._prompt, self._engine, token_ids=tuple(digest.digest()))]

    def caption(self, completion: Completion) -> Caption:
        return make_caption(completion, decode(completion.token_ids), model="rehearsal")


def prompt_text(prompt: PromptSettings) -> str:
    """What the model reads around the clip. `ValueError` for a text that the template has no place for."""
    if prompt.system and "system" not in template_slots(prompt.template):
        raise ValueError(
            f"prompt.system is set, but the template {prompt.template!r} has no place for it: "
            "leave it out, put it into prompt.instruction, or choose another prompt.template"
        )
    system, instruction = resolve_system(prompt.system), resolve_instruction(prompt.instruction)
    return render_prompt(prompt.template, system, instruction)


def check_frames(frames: Frames, size: int, count: int) -> None:
    """Whether `frames` are one or more windows of `count` pictures of `size` pixels, else `ValueError`."""
    shape = frames.pixels.shape
    if len(shape) != 4 or shape[1:] != (size, size, 3) or shape[0] == 0 or shape[0] % count:
        wanted = f"a multiple of {count} of ({size}, {size}, 3)"
        raise ValueError(f"frames of shape {shape}; the model takes {wanted}")


def make_request(clip_id: str, prompt: PromptSettings, engine: EngineSettings, **model_prompt) -> Request:
    """A request for `embeddings` or `token_ids`, with the decoding settings and the clip's own seed."""
    return Request(
        clip_id + PROMPT_MARK + prompt.name,
        engine.max_new_tokens,
        repetition_penalty=engine.repetition_penalty,
        temperature=engine.temperature,
        seed=_seed(engine.seed, clip_id),
        **model_prompt,
    )


def make_caption(completion: Completion, text: str, *, model: str) -> Caption:
    """`text` under the prompt that `make_request` asked for."""
    return Caption(
        prompt=completion.request_id.rpartition(PROMPT_MARK)[2],
        text=text,
        model=model,
        finish_reason=completion.finish_reason,
        output_tokens=len(completion.token_ids),
    )


def _seed(seed: int, clip_id: str) -> int:
    return int.from_bytes(blake2b(f"{seed}/{clip_id}".encode(), digest_size=6).digest())
