from __future__ import annotations

import pytest

from recap import ledger
from recap.ledger.recipe import check_owner, write_recipe


def test_an_output_belongs_to_one_corpus(tmp_path):
    write_recipe(tmp_path, "folder:/a", ledger.Keys({"caption_key": {}}), {})
    check_owner(tmp_path, "folder:/a")
    with pytest.raises(ValueError, match="belongs to the corpus folder:/a"):
        check_owner(tmp_path, "folder:/b")


def test_a_folder_with_other_things_and_a_newer_contract_are_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"thesis\.tex"):
        check_owner(tmp_path, "folder:/a")
    ledger.write_json(tmp_path / "recipe.json", {"contract": 2, "corpus": "folder:/a"})
    with pytest.raises(ValueError, match="newer recap"):
        check_owner(tmp_path, "folder:/a")


def test_a_first_run_that_died_early_locks_nobody_out(tmp_path):
    (tmp_path / "lease.lock").touch()
    (tmp_path / ".recipe.json.7.tmp").touch()
    check_owner(tmp_path, "folder:/a")


def test_a_file_is_no_output(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        check_owner(tmp_path / "file", "folder:/a")


def test_keys_chain():
    assert ledger.key_of({"a": 1, "b": 2}) == ledger.key_of({"b": 2, "a": 1})
    assert len({ledger.key_of({"a": 1}), ledger.key_of({"a": 2}), ledger.key_of({"a": 1}, "previous")}) == 3


def test_a_number_is_the_same_key_however_it_is_written():
    assert ledger.key_of({"a": 4, "b": [1.0, {"c": 2}]}) == ledger.key_of({"a": 4.0, "b": (1, {"c": 2.0})})
    assert ledger.key_of({"a": 4.5}) != ledger.key_of({"a": 4})


def test_differences_are_named_in_full():
    before = {"a": {"b": 1, "c": (1, 2)}, "gone": 1}
    after = {"a": {"b": 2, "c": [1, 2]}, "new": None, "came": 3}
    assert ledger.differences(before, after) == {"a.b": (1, 2), "gone": (1, None), "came": (None, 3)}


def test_an_output_that_lost_its_recipe_says_where_it_is_to_be_had(tmp_path):
    for name in ("fragments", "snapshot"):
        (tmp_path / name).mkdir()
    for look in (lambda: check_owner(tmp_path, "folder:/a"), lambda: ledger.read_recipe(tmp_path)):
        with pytest.raises(ValueError, match=r"recipe\.json.*copy the recipe\.json beside the newest fragments"):
            look()
