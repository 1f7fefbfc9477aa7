from __future__ import annotations

import pytest

from recap import ledger
from recap.training.run import train
from tests.training.conftest import SCRATCH


def test_an_output_of_captions_is_left_as_it_is(recipe, pictures, tmp_path):
    ledger.write_recipe(tmp_path, "folder:/a", ledger.Keys({"caption_key": {}}), {})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"output\.path: .* is the output of a captioning; name another folder"):
        train(recipe(SCRATCH, DATA=pictures, OUT=tmp_path))
    assert sorted(tmp_path.rglob("*")) == before
