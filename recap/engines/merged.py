"""Language models with their LoRA merged in, kept as plain Llama folders for engines that want one."""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import torch

from recap.engines.settings import ModelSettings
from recap.pllava import merge_checkpoint, weight_digest
from recap.pllava.dtypes import dtype_name
from recap.pllava.export import LANGUAGE_MODEL, partial_folder

log = logging.getLogger(__name__)


def merged_language_model(model: ModelSettings, dtype: torch.dtype, store: str | Path) -> Path:
    """The Llama folder of a fetched `model`: its own where it brings one, else one below `store`.

    It is merged at first use, by one process while others wait; what a killed one left is cleared away.
    Raises ValueError where the disk is too small.
    """
    own = Path(model.checkpoint) / LANGUAGE_MODEL
    if (own / "config.json").is_file():
        return own
    out = Path(store).expanduser() / _key(model, dtype)
    out.parent.mkdir(parents=True, exist_ok=True)
    with alone(out.with_suffix(".lock")):
        if not out.exists():
            log.info("merging the language model of %s into %s", model.checkpoint, out)
            shutil.rmtree(partial_folder(out), ignore_errors=True)
            merge_checkpoint(model.checkpoint, out, base=model.base, lora_alpha=model.lora_alpha, dtype=dtype)
    return out / LANGUAGE_MODEL


def _key(model: ModelSettings, dtype: torch.dtype) -> str:
    folders = [folder for folder in (model.checkpoint, model.base) if folder]
    parts = [[weight_digest(folder) for folder in folders], float(model.lora_alpha), dtype_name(dtype)]
    return blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Held by one process at a time; the system lets go of it when that process ends, however it does."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
