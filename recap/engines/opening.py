"""From settings to a running captioner, and what the decoding side must know about its model."""

from __future__ import annotations

import json
from pathlib import Path

from recap.engines.captioner import Captioner
from recap.engines.front import Front, RehearsalFront
from recap.engines.rehearsal import RehearsalEngine
from recap.engines.settings import EngineSettings, ModelSettings, PromptSettings

_REHEARSAL_SIZE = 64
_CLIP_LARGE_SIZE = 336


def open_captioner(
    model: ModelSettings, prompt: PromptSettings, engine: EngineSettings, frames_count: int
) -> Captioner:
    """Load what the settings name and start it; torch is imported only where there is a model.

    `frames_count` is how many frames each clip brings. Raises `ValueError` for settings that do not
    fit the checkpoint.
    """
    if engine.kind == "rehearsal":
        front: Front = RehearsalFront(prompt, engine, size=frame_size(model, engine), count=frames_count)
        return Captioner(RehearsalEngine(batch_size=engine.batch_size), front)
    from recap.engines.pllava_front import open_pllava

    return Captioner(*open_pllava(model, prompt, engine, frames_count))


def frame_size(model: ModelSettings, engine: EngineSettings) -> int:
    """Side, in pixels, of the square frames that these settings want to see. Reads config.json at most."""
    if engine.kind == "rehearsal" and not model.checkpoint:
        return _REHEARSAL_SIZE
    return model_frame_size(resolve_checkpoint(model.checkpoint, model.revision, only_config=True))


def model_frame_size(checkpoint_folder: str | Path) -> int:
    """Side, in pixels, of the frames that the checkpoint in this folder sees."""
    path = Path(checkpoint_folder) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: model.checkpoint must be a folder with a config.json") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); fetch the checkpoint again") from None
    return int((config.get("vision_config") or {}).get("image_size") or _CLIP_LARGE_SIZE)


def resolve_checkpoint(checkpoint: str, revision: str | None = None, *, only_config: bool = False) -> Path:
    """The folder of `checkpoint`: itself, else the hub's snapshot, fetched where it is not cached."""
    if not checkpoint:
        raise ValueError("model.checkpoint is not set: give a folder or hub id, or engine.kind: rehearsal")
    folder = Path(checkpoint).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = "config.json" if only_config else ["*.json", "*.safetensors", "*.model"]
    try:
        return Path(snapshot_download(checkpoint, revision=revision, allow_patterns=wanted))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        place = f"{checkpoint!r}" + (f" at revision {revision!r}" if revision else "")
        raise ValueError(f"{place} is no checkpoint folder here, and the hub gave none: {error}") from error
