"""Training on a machine with two cards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recap.pllava import load_pllava
from recap.pocket import make_pictures
from recap.training.recipe import load_recipe
from recap.training.run import train

RECIPE = """
model:
  scratch: {{image_size: 24, vision_hidden_size: 16, vision_layers: 2, vision_heads: 2, hidden_size: 32, layers: 2,
            heads: 4, kv_heads: 2, intermediate_size: 48, vocab_size: 400}}
  pooling: [1, 1, 1]
frames: {{count: 1}}
data: {{sets: [{{path: {data}/train.json}}], conversation: plain, workers: 0}}
train: {{trainable: [tower, projector, llm], learning_rate: 1.0e-3, max_steps: 3, global_batch: 4, batch_size: 2,
        precision: fp32, log_every_steps: 1}}
output: {{path: {out}, dtype: float32}}
"""


def losses(folder: Path, name: str) -> list[float]:
    (folder / f"{name}.yaml").write_text(RECIPE.format(data=folder / "pictures", out=folder / name))
    train(load_recipe(folder / f"{name}.yaml"))
    load_pllava(folder / name / "full")
    return [float(line.split(",")[2]) for line in (folder / name / "loss.csv").read_text().splitlines()[1:]]


@pytest.mark.timeout(120)
def test_one_process_trains_on_one_card_as_on_the_cpu(chip, tmp_path, monkeypatch, caplog):
    make_pictures(tmp_path / "pictures", 16, seed=1)
    chip.forget_peak()
    before = [chip.used(0), chip.used(1)]
    on_card = losses(tmp_path, "card")
    assert chip.peak(0) > before[0] and chip.peak(1) == before[1]
    assert "torchrun --nproc-per-node 2" in caplog.text
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert on_card == pytest.approx(losses(tmp_path, "cpu"), rel=1e-4) and len(on_card) == 3
