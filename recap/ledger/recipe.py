"""`recipe.json`: whose output this is and the settings that last wrote to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from recap.ledger.documents import Contracted, Manifest, Recipe
from recap.ledger.files import RUN_AGAIN, Damaged, read_json, shaped, write_json
from recap.ledger.keys import Keys
from recap.ledger.sealed import CONTRACT, refuse_newer
from recap.storage import Location, children

TRANSLATION_KEY = "translation_key/"  # and the language
Document = TypeVar("Document", Manifest, Recipe)
LOST_RECIPE = "copy the recipe.json beside the newest fragments, below fragments/, to its place"
FILES: dict[type, tuple[str, str]] = {  # and what mends them
    Manifest: ("manifest.json", RUN_AGAIN),
    Recipe: ("recipe.json", LOST_RECIPE),
}


def find_document(output: Location, shape: type[Document]) -> Document | None:
    """The manifest or the recipe, None where there is none.

    Raises Damaged, with what mends it, and ValueError where a newer recap wrote it.
    """
    name, mended_by = FILES[shape]
    document = read_json(output / name, mended_by)
    if document is None:
        return None
    refuse_newer(output, shaped(output / name, document, Contracted, mended_by).contract)
    return shaped(output / name, document, shape, mended_by)


def write_manifest(output: Location, manifest: Manifest) -> None:
    """From here on readers see other shards."""
    write_json(output / FILES[Manifest][0], {"contract": CONTRACT} | asdict(manifest))


def read_manifest(output: Location) -> Manifest:
    """The current generation's manifest. Raises ValueError where there is none, or as `find_document` does."""
    manifest = find_document(output, Manifest)
    if manifest is None:
        raise ValueError(
            f"{output} holds no manifest.json: no run has finished there yet "
            "(`recap view --latest` shows what is committed)"
        )
    return manifest


def read_recipe(output: Location) -> Recipe:
    """Whose output this is. Raises ValueError where no run has begun, or as `find_document` does."""
    recipe = find_document(output, Recipe)
    if recipe is None:
        said = LOST_RECIPE if (output / "fragments").is_dir() else "no run has begun there"
        raise ValueError(f"{output} holds no recipe.json: {said}")
    return recipe


def fragment_folder(output: Location, caption_key: str) -> Location:
    """Where the records of one caption key are."""
    return output / "fragments" / caption_key


def overlay_folder(output: Location, key: str) -> Location:
    """Where captions are that were made of, or judged anew from, those of another key."""
    return output / "overlays" / key


def translation_folders(output: Location, keys: Mapping[str, str]) -> dict[str, Location]:
    """Where the translations of a recipe's `keys` are, by language."""
    named = {name.removeprefix(TRANSLATION_KEY): key for name, key in keys.items() if name.startswith(TRANSLATION_KEY)}
    return {language: overlay_folder(output, key) for language, key in named.items()}


def check_owner(output: Location, corpus: str | None) -> None:
    """Raise ValueError when `output` belongs to another corpus (None: to any), a newer recap, or somebody else."""
    recipe = find_document(output, Recipe)
    if recipe is None:
        return _refuse_foreign(output)
    if corpus not in (None, recipe.corpus):
        raise ValueError(
            f"output.path: {output} belongs to the corpus {recipe.corpus}, not to {corpus}; "
            "choose another output.path, or add --corpus-moved where that has become this"
        )


def _refuse_foreign(output: Location) -> None:
    if output.exists() and not output.is_dir():
        raise ValueError(f"output.path: {output} is a file; name a folder")
    mine = ("lease.lock", "lease.json", "lease", "run.log")
    strangers = sorted(
        path.name for path in children(output) if path.name not in mine and not path.name.startswith(".")
    )
    if {"fragments", "snapshot"} <= {*strangers}:
        raise ValueError(f"output.path: {output} has lost its recipe.json; {LOST_RECIPE}")
    if strangers:
        raise ValueError(
            f"output.path: {output} holds other things ({', '.join(strangers[:3])}); name a new or empty folder"
        )


def write_recipe(output: Location, corpus: str, keys: Keys, settings: Mapping[str, Any]) -> None:
    """Record the effective settings and keys, also beside the fragments that are written under them."""
    recipe = {
        "contract": CONTRACT,
        "corpus": corpus,
        "keys": keys.values,
        "key_settings": dict(keys.settings),
        "settings": dict(settings),
    }
    for folder in (output, fragment_folder(output, keys.values["caption_key"])):
        if not _holds(folder / "recipe.json", recipe):
            write_json(folder / "recipe.json", recipe)


def _holds(path: Location, recipe: dict[str, Any]) -> bool:
    """In that order too: the first prompt is the primary one."""
    try:
        return json.dumps(read_json(path)) == json.dumps(recipe)
    except Damaged:
        return False
