"""From settings to a running captioner, and what the decoding side must know about its model."""

from __future__ import annotations

from pathlib import Path

from recap.engines.base import Engine
from recap.engines.captioner import Captioner
from recap.engines.front import RehearsalFront, prompt_texts
from recap.engines.rehearsal import RehearsalEngine
from recap.engines.second import Reviewer
from recap.engines.settings import EngineSettings, ModelSettings, PromptSettings
from recap.pllava.config import read_config
from recap.pllava.reading import reading
from recap.pllava.visual import check_context, get_strategy
from recap.records import WINDOWS, FrameRequest
from recap.timing import Timing

_REHEARSAL_SIZE = 64


def open_captioner(
    model: ModelSettings,
    prompt: PromptSettings,
    engine: EngineSettings,
    request: FrameRequest,
    *,
    reviewer: Reviewer | None = None,
    headroom: int = 0,
    copies: int = 1,
    timing: Timing | None = None,
) -> Captioner:
    """Load what the settings name and start it; torch is imported only where there is a model.

    `request` is what each clip's frames were asked for; a `reviewer`'s second attempts may be `headroom` positions
    longer; so many `copies` may share this machine; `timing` is told what the time went into. Raises `ValueError` for
    settings that do not fit the checkpoint.
    """
    timing = timing or Timing("caption")
    if engine.kind == "rehearsal":
        front = RehearsalFront(prompt, engine, request)

        def reopen() -> Engine:
            return RehearsalEngine(batch_size=engine.slots, timing=timing)
    else:
        from recap.engines.pllava_front import open_pllava

        reopen, front = open_pllava(model, prompt, engine, request, headroom, timing, copies)
    return Captioner(reopen(), front, reopen=reopen, stall_s=engine.stall_s, reviewer=reviewer, timing=timing)


def frame_request(model: ModelSettings, engine: EngineSettings, count: int, view: str) -> FrameRequest:
    """What to decode of a clip for a fetched model, where the settings ask for `count` frames in `view`."""
    if engine.kind == "rehearsal" and not model.checkpoint:
        return FrameRequest(count, _REHEARSAL_SIZE, view)
    config = read_config(model.checkpoint)
    return get_strategy(model.visual_tokens, model.pooling).frame_request(config, count, view)


def check_length(model: ModelSettings, prompt: PromptSettings, engine: EngineSettings, request: FrameRequest) -> None:
    """Raise `ValueError` when a prompt, its video and its answer are longer than the model's context.

    Wants a fetched model.
    """
    if engine.kind == "rehearsal":
        return
    config = read_config(model.checkpoint)
    strategy = get_strategy(model.visual_tokens, model.pooling)
    visual = strategy.token_count(config, request.count, WINDOWS[request.view])
    for name, text in prompt_texts(prompt).items():
        try:
            check_context(config, _prompt_length(model, text), visual, engine.max_new_tokens)
        except ValueError as error:
            raise ValueError(f"prompt {name}: {error}") from None


def _prompt_length(model: ModelSettings, text: str) -> int:
    from tokenizers import Tokenizer

    for folder in filter(None, (model.checkpoint, model.base)):
        file = Path(folder) / "tokenizer.json"
        if file.is_file():
            with reading(file):
                return len(Tokenizer.from_file(str(file)).encode(text).ids)
    raise ValueError(f"{model.checkpoint} has no tokenizer.json: copy the one that was published with these weights")
