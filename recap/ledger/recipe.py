"""`recipe.json`: whose output this is and the settings that last wrote to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recap.ledger.files import read_json, write_json

CONTRACT = 1


def check_owner(output: Path, corpus: str) -> None:
    """Raise ValueError when `output` belongs to another corpus, a newer recap, or somebody else."""
    recipe = read_json(output / "recipe.json")
    if recipe is None:
        return _refuse_foreign(output)
    if recipe["contract"] > CONTRACT:
        raise ValueError(
            f"output.path: {output} was written by a newer recap (contract {recipe['contract']}, "
            f"this one knows {CONTRACT}); upgrade recap"
        )
    if recipe["corpus"] != corpus:
        raise ValueError(
            f"output.path: {output} belongs to the corpus {recipe['corpus']}, not to {corpus}; "
            "choose another output.path"
        )


def _refuse_foreign(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise ValueError(f"output.path: {output} is a file; name a folder")
    strangers = sorted(path.name for path in output.glob("*") if path.name not in ("lease.lock", "run.log"))
    if strangers:
        raise ValueError(
            f"output.path: {output} holds other things ({', '.join(strangers[:3])}); name a new or empty folder"
        )


def write_recipe(output: Path, corpus: str, keys: Mapping[str, str], settings: Mapping[str, Any]) -> None:
    """Record the effective settings and keys."""
    document = {"contract": CONTRACT, "corpus": corpus, "keys": dict(keys), "settings": dict(settings)}
    if read_json(output / "recipe.json") != document:
        write_json(output / "recipe.json", document)
