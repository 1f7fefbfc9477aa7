"""The checkpoint's tokenizer, held against its configuration."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from recap.pllava.config import PllavaConfig
from recap.pllava.prompts import IMAGE
from recap.pllava.reading import reading


def load_tokenizer(folders: list[Path], config: PllavaConfig) -> PreTrainedTokenizerBase | None:
    """The tokenizer of the first folder that has a tokenizer.json, else None.

    The file is taken as it is: no class name in the folder is trusted to rebuild it. ValueError if it cannot be
    read, or its image, padding or end token has another id than `config` says.
    """
    folder = tokenizer_folder(folders)
    if folder is None:
        return None
    with reading(folder / "tokenizer*.json"):
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, padding_side="left")
    _check(tokenizer, config, folder)
    return tokenizer


def tokenizer_folder(folders: list[Path]) -> Path | None:
    """The first folder that has a tokenizer.json, if any."""
    return next((folder for folder in folders if (folder / "tokenizer.json").is_file()), None)


def _check(tokenizer: PreTrainedTokenizerBase, config: PllavaConfig, folder: Path) -> None:
    image = tokenizer.get_vocab().get(IMAGE)
    _agree("image", image, (config.image_token_id,), folder)
    if tokenizer.eos_token_id is not None:
        _agree("end (eos)", tokenizer.eos_token_id, config.eos_token_ids, folder)
    if tokenizer.pad_token_id is not None and config.pad_token_ids:
        _agree("padding", tokenizer.pad_token_id, config.pad_token_ids, folder)


def _agree(what: str, tokenizer_id: int | None, config_ids: tuple[int, ...], folder: Path) -> None:
    if tokenizer_id in config_ids:
        return
    expected = " or ".join(map(str, config_ids))
    raise ValueError(
        f"the {what} token is {tokenizer_id} in the tokenizer of {folder} but {expected} in config.json: "
        "they belong to different checkpoints; take the tokenizer files published with these weights"
    )
