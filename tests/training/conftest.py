from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from recap.pocket import make_clips, make_pictures
from recap.training.recipe import Recipe, load_recipe
from recap.training.run import train
from tests.decoders import children

torch.set_num_threads(1)

SCRATCH = """
model:
  scratch: {image_size: 24, vision_hidden_size: 16, vision_layers: 2, vision_heads: 2, hidden_size: 32, layers: 2,
            heads: 4, kv_heads: 2, intermediate_size: 48, vocab_size: 400}
  pooling: [1, 1, 1]
frames: {count: 1}
data: {sets: [{path: DATA/train.json}], conversation: plain, workers: 0}
train:
  trainable: [tower, projector, llm]
  learning_rate: 1.0e-3
  max_steps: 3
  global_batch: 4
  batch_size: 4
  precision: fp32
  log_every_steps: 1
output: {path: OUT, dtype: float32}
"""
LORA = """
model: {checkpoint: BASE, pooling: [4, 1, 1]}
frames: {count: 4}
data: {sets: [{path: DATA/train.json}], workers: 0}
train:
  lora: {rank: 4, alpha: 8, dropout: 0.0}
  learning_rate: 1.0e-2
  max_steps: 4
  global_batch: 4
  batch_size: 2
  precision: fp32
  log_every_steps: 1
  save_every_steps: 2
output: {path: OUT, dtype: float32, save: [full, adapter], keep_states: 9}
"""


@pytest.fixture(autouse=True)
def ends_its_decoder():
    """A training that is over, well or not, leaves no decoder behind."""
    yield
    assert not children()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "pictures"
    make_pictures(folder, 16, seed=1)
    return folder


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "clips"
    make_clips(folder, 8, seed=2)
    return folder


@pytest.fixture(scope="session")
def recipe(tmp_path_factory) -> Callable[..., Recipe]:
    """A recipe from one of the texts above: `recipe(text, overrides, BASE=…, DATA=…, OUT=…)`."""
    folder = tmp_path_factory.mktemp("recipes")

    def load(text: str, overrides: tuple[str, ...] = (), **places: Path) -> Recipe:
        for name, place in places.items():
            text = text.replace(name, str(place))
        (folder / "recipe.yaml").write_text(text)
        return load_recipe(folder / "recipe.yaml", overrides)

    return load


@pytest.fixture(scope="session")
def base(tmp_path_factory, recipe, pictures) -> Path:
    """A tiny image LLaVA, trained from scratch for three steps."""
    out = tmp_path_factory.mktemp("scratch")
    train(recipe(SCRATCH, DATA=pictures, OUT=out))
    return out / "full"


@pytest.fixture
def losses() -> Callable[[Path], list[str]]:
    def read(out: Path) -> list[str]:
        return [line.split(",")[2] for line in (out / "loss.csv").read_text().splitlines()[1:]]

    return read


@pytest.fixture
def spoilt(clips, tmp_path) -> Callable[..., Path]:
    """A copy of the clips with some files spoilt: `spoilt(cut=2, gone=1, empty=1)`."""

    def spoil(cut: int = 0, gone: int = 0, empty: int = 0) -> Path:
        folder = Path(shutil.copytree(clips, tmp_path / "spoilt"))
        rows = json.loads((folder / "train.json").read_text())
        for row in rows[:cut]:
            (folder / row["video"]).write_bytes(b"no video at all")
        for row in rows[cut : cut + gone]:
            (folder / row["video"]).unlink()
        for row in rows[cut + gone : cut + gone + empty]:
            row["QA"][0]["a"] = " "
        (folder / "train.json").write_text(json.dumps(rows))
        return folder

    return spoil
