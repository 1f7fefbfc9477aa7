from __future__ import annotations

import json

import pytest

from recap import ledger
from recap.training.recipe import absolute
from recap.training.run import train
from recap.training.states import check_same, deepspeed_file, lasting_settings
from tests.training.conftest import SCRATCH


def test_an_output_of_captions_is_left_as_it_is(recipe, pictures, tmp_path):
    ledger.write_recipe(tmp_path, "folder:/a", ledger.Keys({"caption_key": {}}), {})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"output\.path: .* is the output of a captioning; name another folder"):
        train(recipe(SCRATCH, DATA=pictures, OUT=tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_deepspeed_file_is_known_by_what_it_says(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine.json"
    file.write_text('{"zero_optimization": {"stage": 2}}')
    asked = recipe(SCRATCH, ("train.deepspeed=mine.json",))
    began = json.loads(json.dumps(lasting_settings(asked, [])))
    file.write_text(json.dumps(json.loads(file.read_text()), indent=2))
    check_same(tmp_path, began, lasting_settings(absolute(asked), []))
    file.write_text('{"zero_optimization": {"stage": 3}}')
    with pytest.raises(ValueError, match=r"with train\.deepspeed\.zero_optimization\.stage 2, not 3; go on"):
        check_same(tmp_path, began, lasting_settings(asked, []))


def test_a_folder_does_not_take_the_name_of_a_deepspeed_file_that_ships_with_recap(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zero2").mkdir()
    shipped = recipe(SCRATCH, ("train.deepspeed=zero2",))
    assert deepspeed_file(absolute(shipped).train.deepspeed) == deepspeed_file("zero2")
