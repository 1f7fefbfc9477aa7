from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from recap import ledger
from recap.ledger.lease import HOLDER

SHAPES = {"manifest.json": ledger.Manifest, "recipe.json": ledger.Recipe}
BOOKS = dict.fromkeys(("clips", "captioned", "quarantined", "filtered", "remaining", "vanished"), 0)
SHARD = {
    "path": "a",
    "kind": "parquet",
    "rows": 1,
    "bytes": 2,
    "sha256": "s",
    "first_clip_id": "a",
    "last_clip_id": "a",
}
MANIFEST = {
    "contract": 1,
    "generation": "g",
    "caption_key": "c",
    "review_key": "r",
    "review": {},
    "flags": {"before": {}, "after": {}},
    "translations": {"zh": {"key": "k", "clips": 1}},
    "shards": [SHARD],
    "reconciliation": BOOKS,
    "reasons": {},
}
RECIPE = {"contract": 1, "corpus": "folder:/a", "keys": {"caption_key": "c"}, "key_settings": {}, "settings": {}}


def without(document: dict, name: str) -> dict:
    return {key: value for key, value in document.items() if key != name}


@pytest.mark.parametrize(
    ("name", "document", "wrong"),
    [
        ("manifest.json", None, "no JSON object"),
        ("manifest.json", [], "no JSON object"),
        ("manifest.json", {}, "contract: Field required"),
        ("manifest.json", without(MANIFEST, "generation"), "generation: Field required"),
        ("manifest.json", MANIFEST | {"shards": {}}, "shards: Input should be a valid (array|list)"),
        (
            "manifest.json",
            MANIFEST | {"shards": [SHARD | {"path": 7}]},
            r"shards\.0\.path: Input should be a valid string",
        ),
        ("manifest.json", MANIFEST | {"reconciliation": without(BOOKS, "clips")}, r"reconciliation\.clips"),
        ("recipe.json", {}, "contract: Field required"),
        ("recipe.json", RECIPE | {"keys": {}}, r"keys\.caption_key"),
        ("recipe.json", RECIPE | {"settings": {"output": 3}}, r"settings\.output"),
    ],
)
def test_a_document_of_another_shape_is_named_with_what_is_wrong_and_what_mends_it(tmp_path, name, document, wrong):
    (tmp_path / name).write_text(json.dumps(document))
    with pytest.raises(ledger.Damaged, match=rf"{name} is damaged \(.*{wrong}.*\); (run the same|copy the recipe)"):
        ledger.find_document(tmp_path, SHAPES[name])


def test_sound_documents_are_read_as_they_were_written(tmp_path):
    for name, document in (("manifest.json", MANIFEST), ("recipe.json", RECIPE)):
        ledger.write_json(tmp_path / name, document)
        found = ledger.find_document(tmp_path, SHAPES[name])
        assert {"contract": 1} | asdict(found) == document


def test_a_holder_of_another_shape_is_damaged(tmp_path):
    (tmp_path / HOLDER).write_text('{"epoch": "first"}')
    with pytest.raises(ledger.Damaged, match="delete it"):
        ledger.holder(tmp_path)
