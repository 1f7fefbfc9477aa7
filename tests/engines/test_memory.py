from __future__ import annotations

from recap import limits
from recap.engines import memory
from recap.engines.base import PROMPTS_PER_SLOT
from recap.engines.memory import position_bytes, prefill_positions, rows_that_fit


def test_a_position_is_keys_and_values_of_every_block(language_model):
    assert position_bytes(language_model.config, language_model.dtype) == 2 * 2 * 2 * 8 * 4


def test_rows_are_cut_to_what_is_free(language_model, monkeypatch):
    prompts = PROMPTS_PER_SLOT * language_model.config.hidden_size * language_model.dtype.itemsize
    row_kb = 64 * (position_bytes(language_model.config, language_model.dtype) + prompts) // 1024
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 2 * 7 * row_kb * 1024)
    assert [rows_that_fit(language_model, 64, wanted) for wanted in (3, 7, 50)] == [3, 7, 7]
    assert rows_that_fit(language_model, 640, 50) == 1
    assert rows_that_fit(language_model, 64, 50, copies=2) == 3


def test_a_processor_takes_in_what_stays_in_its_caches(language_model):
    assert prefill_positions(language_model) == 1024


def test_where_memory_cannot_be_read_the_setting_stands(language_model, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SYSTEM", tmp_path)
    assert rows_that_fit(language_model, 64, 50) == 50
