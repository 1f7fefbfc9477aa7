from __future__ import annotations

import re
from pathlib import Path

import pytest

from recap.training.recipe import json_schema
from recap.training.scratch import write_untrained
from recap.training.settings import ScratchSettings
from tests.training.conftest import LORA, SCRATCH

DECODE = json_schema()["$defs"]["DecodeSettings"]["properties"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.learning_rate=0", r"above 0\), not 0"),
        ("train.learning_rate=.nan", r"above 0\), not nan"),
        ("train.lora.alpha=.inf", r"above 0\), not inf"),
        ("train.lora.dropout=1", r"below 1\), not 1"),
        ("train.warmup_ratio=2", r"below 1\), not 2"),
        ("train.max_steps=0", r"at least 1\), not 0"),
        ("train.seed=-1", r"at least 0 and below 4294967296\), not -1"),
        ("data.max_text_tokens=0", r"at least 1\), not 0"),
        ("data.max_bad=1.5", r"at most 1\), not 1.5"),
        ("model.pooling=[4,0,1]", r"at least 1\), not 0"),
        ("model.lora_alpha=.inf", r"at least 0\), not inf"),
        ("output.lora_alpha=0", r"above 0\), not 0"),
        ("ray.workers=-1", r"at least 0\), not -1"),
    ],
)
def test_numbers_that_make_no_sense_are_named(recipe, override, message):
    with pytest.raises(ValueError, match=rf"{override.partition('=')[0]}\S*: .*{message}"):
        recipe(LORA, (override,))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lora.rnk=8", "train.lora.rnk; did you mean train.lora.rank?"),
        ("data.sets=[{pth: a.json, path: b.json}]", "data.sets.0.pth; did you mean data.sets.path?"),
    ],
)
def test_settings_at_any_depth_have_a_nearest_one(recipe, override, message):
    with pytest.raises(ValueError, match=re.escape(f"there is no setting {message}")):
        recipe(LORA, (override,))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("heads=5", "hidden_size must be a multiple of model.scratch.heads"),
        ("kv_heads=3", "heads must be a multiple of model.scratch.kv_heads"),
        ("vision_heads=3", "vision_hidden_size must be a multiple of model.scratch.vision_heads"),
        ("image_size=25", "image_size must be a multiple of model.scratch.patch_size"),
        ("heads=32", "hidden_size / heads must be even"),
        ("layers=0", r"at least 1\), not 0"),
    ],
)
def test_sizes_of_which_no_model_can_be_made_are_refused(recipe, size, message):
    with pytest.raises(ValueError, match=message):
        recipe(SCRATCH, (f"model.scratch.{size}",))


@pytest.mark.parametrize("name", ["workers=2", "fetch_folder=/tmp", "fetch_gb=1"])
def test_what_only_a_pipeline_reads_is_refused(recipe, name):
    with pytest.raises(ValueError, match=rf"decode\.{name.partition('=')[0]} is not read in a training: leave it out"):
        recipe(LORA, (f"decode.{name}",))
    assert "memory_gb" in DECODE and name.partition("=")[0] not in DECODE


def test_a_process_that_takes_neither_a_cpu_nor_a_gpu_is_refused(recipe):
    asked = ("ray.workers=2", "ray.cpus_per_worker=0")
    with pytest.raises(ValueError, match=r"ray\.cpus_per_worker must be above 0 where ray\.gpus_per_worker is 0"):
        recipe(LORA, asked)
    recipe(LORA, (*asked, "ray.gpus_per_worker=0.5"))


def test_a_vocabulary_holds_the_bytes_and_characters_of_the_data(tmp_path: Path):
    with pytest.raises(ValueError, match=r"vocab_size 100: this data needs at least \d{3}"):
        write_untrained(tmp_path, ScratchSettings(vocab_size=100), (1, 1, 1), [], seed=0)


def test_an_output_within_a_folder_of_conversations_is_refused(recipe, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    sets = f"data.sets=[{{path: {tmp_path / 'link'}}}]"
    with pytest.raises(ValueError, match=r"lies in .*of which data\.sets reads every"):
        recipe(LORA, (sets,), OUT=tmp_path / "out")
    recipe(LORA, (sets,), OUT=tmp_path.with_name("out"))
