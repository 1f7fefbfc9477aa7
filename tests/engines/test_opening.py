from __future__ import annotations

import pytest

from recap.engines import EngineSettings, ModelSettings, PromptSettings, check_length
from recap.pllava.random_checkpoint import write_random_checkpoint
from recap.records import FrameRequest


def test_a_tokenizer_that_was_cut_off_is_named(tmp_path):
    write_random_checkpoint(tmp_path, seed=7)
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes()[:1000])
    model = ModelSettings(checkpoint=str(tmp_path))
    with pytest.raises(ValueError, match=r"tokenizer\.json cannot be used .*: is it damaged, or"):
        check_length(model, PromptSettings(), EngineSettings(), FrameRequest(16, 56, "crop"))
