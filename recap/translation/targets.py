"""Which languages a fetched translation model knows, read off its folder's small files: nothing is loaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recap.pllava.config import read_json
from recap.translation.names import SIGN, TWO_LETTERS, sign_of

KINDS = ("m2m_100", "marian", "nllb-moe", "t5")
_WORDS = ("added_tokens.json", "special_tokens_map.json", "tokenizer.json", "vocab.json")
_QUOTED = re.compile(f'"({SIGN.pattern})"')


def check_targets(folder: Path, languages: Sequence[str]) -> None:
    """ValueError where the folder holds no translation model, a damaged one, or one that lacks a language.

    A tokenizer that names no languages in its JSON files is not judged.
    """
    kind = _read(folder / "config.json").get("model_type")
    if kind not in KINDS:
        raise ValueError(
            f"translation.checkpoint: {folder} holds no translation model (config.json: model_type {kind}); name one "
            "of MarianMT, M2M-100, NLLB or MADLAD"
        )
    texts = ((folder / name).read_text("utf-8") for name in _WORDS if (folder / name).is_file())
    signs = {sign for text in texts for sign in _QUOTED.findall(text)}
    for language in languages if signs else ():
        sign_of(language, signs)
    if kind == "marian" and not signs:
        _check_only_target(_read(folder / "tokenizer_config.json").get("target_lang") or "", languages)


def _check_only_target(target: str, languages: Sequence[str]) -> None:
    known = TWO_LETTERS.get(target, target)
    if len(languages) > 1 or (len(known) == 2 and known != languages[0]):
        raise ValueError(
            f"translation.languages: the model has one target, {known or 'which it does not name'}, not "
            f"{', '.join(languages)}; choose another translation.checkpoint"
        )


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
