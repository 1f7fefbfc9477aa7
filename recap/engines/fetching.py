"""Where the weights are: folders as they stand, hub ids as downloaded snapshots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recap.engines.settings import EngineSettings, ModelSettings
from recap.pllava.hub import named_folder, resolve_checkpoint


def fetch(model: ModelSettings, engine: EngineSettings, *, weights: bool = True) -> ModelSettings:
    """The same settings with local folders for `checkpoint` and `base`; downloads what is not here.

    Without `weights`, and for a rehearsal, that is the config and the tokenizer only.

    `dtype: auto` becomes float32 where no GPU computes: on most CPUs bfloat16 is slow, and captions are not to depend
    on which CPU a run goes on with.
    Raises ValueError for what is neither a folder nor on the hub.
    """
    if engine.kind == "rehearsal" and not model.checkpoint:
        return model
    weights = weights and engine.kind != "rehearsal"
    checkpoint = resolve_checkpoint(model.checkpoint, model.revision, weights=weights)
    base = None if model.base is None else str(resolve_checkpoint(model.base, weights=weights).resolve())
    dtype = "float32" if model.dtype == "auto" and not engine.gpus_per_actor else model.dtype
    return replace(model, checkpoint=str(checkpoint.resolve()), base=base, dtype=dtype)


def fetched_digest(model: ModelSettings, engine: EngineSettings) -> str:
    """Which weights a fetched model has; empty for a rehearsal, which uses none."""
    if engine.kind == "rehearsal":
        return ""
    from recap.pllava import weight_digest

    folders = [model.checkpoint] if model.base is None else [model.checkpoint, model.base]
    return "+".join(weight_digest(folder) for folder in folders)


def fetched_bytes(model: ModelSettings, engine: EngineSettings) -> int:
    """What a fetched model's weights take in memory; 0 for a rehearsal."""
    if engine.kind == "rehearsal":
        return 0
    from recap.pllava import checkpoint_bytes

    return sum(checkpoint_bytes(folder, model.dtype) for folder in (model.checkpoint, model.base) if folder)


def check_fetched(model: ModelSettings, engine: EngineSettings) -> None:
    """Raise `ValueError` when a fetched model would not load: a glance at headers, config and tokenizer."""
    if engine.kind == "rehearsal":
        return
    from recap.pllava import check_checkpoint

    try:
        check_checkpoint(model.checkpoint, model.base)
    except ValueError as error:
        raise ValueError(f"model.checkpoint: {error}") from None


def model_name(model: ModelSettings) -> str:
    """What rows call the model: a hub id as it is, a folder by its name, never by its place."""
    folder = Path(model.checkpoint).expanduser()
    if not model.checkpoint:
        return "rehearsal"
    own_folder = named_folder(model.checkpoint) == folder and folder.is_dir()
    return folder.resolve().name if own_folder else model.checkpoint
