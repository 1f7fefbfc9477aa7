"""From settings to a translator, and what it is called."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from recap.engines import UNWATCHED, ModelSettings, model_name
from recap.pllava.hub import misnamed, named_folder, resolve_checkpoint
from recap.translation.base import Translator
from recap.translation.rehearsal import RehearsalTranslator
from recap.translation.settings import TranslationSettings
from recap.translation.targets import check_targets

POCKET = "pocket"
PIECES = ("*.spm", "*.model", "vocab.json")  # a tokenizer's, which the digest of weights does not know
PICKLES = "pytorch_model*.bin"  # most OPUS models have no other weights; transformers runs no code of theirs
TAIL_BYTES = 1 << 20
SHIPPED = "pocket-en-zh"
NO_MAP = (
    "model.device_map: translation.engine llm has the language model on one device: add the languages in a run without "
    "the map, which captions nothing again, or take translation.engine: seq2seq"
)


def open_translator(
    settings: TranslationSettings,
    model: ModelSettings,
    template: str,
    watch: AbstractContextManager = UNWATCHED,
    **engine: Any,
) -> Translator:
    """Load what fetched settings name; torch is imported only where there is a model.

    `model` and `template` are the captioner's; each step is taken within `watch`. `engine` is `copies` and
    `cuda_graphs` of the engine that `llm` works with. Raises `ValueError` for what does
    not fit, and for a GPU that is not there.
    """
    if settings.engine == "rehearsal":
        return RehearsalTranslator(settings, watch)
    _prepare(settings)
    if settings.engine == "llm":
        from recap.translation.language_model import LanguageModelTranslator

        return LanguageModelTranslator(model, template, settings, watch, **engine)
    from recap.translation.seq2seq import Seq2SeqTranslator

    return Seq2SeqTranslator(Path(settings.checkpoint), settings, watch)


def translator_problems(settings: TranslationSettings, model: ModelSettings) -> list[str]:
    """What can be refused of a translator before anything is downloaded, in words for the user."""
    if settings.languages and settings.engine == "llm" and model.device_map:
        return [NO_MAP]
    if not settings.has_model:
        return []
    name = _shipped_or(settings.checkpoint)
    if said := misnamed(name):
        return [f"translation.checkpoint: {said}"]
    try:
        if named_folder(name).is_dir():
            check_targets(named_folder(name), settings.languages)
    except ValueError as error:
        return [str(error)]
    return []


def _shipped_or(checkpoint: str) -> str:
    return SHIPPED if checkpoint == POCKET else checkpoint


def fetch_translator(settings: TranslationSettings, *, weights: bool = True) -> TranslationSettings:
    """`settings` with a folder for a checkpoint, fetched from the hub where it is not here.

    Raises ValueError for what is neither, and for a model that does not know the languages.
    """
    if not settings.has_model:
        return settings
    name = _shipped_or(settings.checkpoint)
    also = (*PIECES, PICKLES) if weights else PIECES
    try:
        folder = resolve_checkpoint(name, settings.revision, weights=weights, also=also).resolve()
    except ValueError as error:
        raise ValueError(f"translation.checkpoint: {error}") from error
    check_targets(folder, settings.languages)
    return replace(settings, checkpoint=str(folder))


def translator_name(settings: TranslationSettings, model: ModelSettings) -> str:
    """What rows say of where a translation is from: the checkpoint, with a revision where one is named."""
    if settings.engine == "llm":
        return model_name(model)
    if settings.engine == "rehearsal":
        return "rehearsal"
    folder = Path(settings.checkpoint).expanduser()
    name = folder.resolve().name if settings.checkpoint != POCKET and folder.is_dir() else settings.checkpoint
    return f"{name}@{settings.revision}" if settings.revision else name


def translator_digest(settings: TranslationSettings) -> str:
    """Which weights a fetched translation model has; empty where none of its own is used."""
    if not settings.has_model:
        return ""
    folder = Path(settings.checkpoint)
    pieces = sha256(b"".join(path.read_bytes() for name in PIECES for path in sorted(folder.glob(name))))
    return f"{_weights(folder)}-{pieces.hexdigest()[:16]}"


def _weights(folder: Path) -> str:
    """`weight_digest`, or that of the ends of a folder's pickles, where torch writes a checksum of every tensor."""
    from recap.pllava import weight_digest

    pickles = [] if any(folder.glob("*.safetensors")) else sorted(folder.glob(PICKLES))
    try:
        return weight_digest(folder)
    except ValueError:
        if not pickles:
            raise
    digest = sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*config.json"))))
    for path in pickles:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            digest.update(file.read())
    return digest.hexdigest()[:40]


def _prepare(settings: TranslationSettings) -> None:
    from recap.engines.device import keep_to_share, prepared

    prepared("translation.gpus_per_actor", settings.gpus_per_actor, settings.threads)
    keep_to_share(settings.gpus_per_actor)
