"""Eyes for the pocket model: a vision tower that learns to tell the attributes of pictures apart.

Published towers come from CLIP, which learnt to see from millions of pairs. This one sees a small world, and learns
it from what is true of each picture: linear heads on the mean of its patches name, for every colour, the size, shape
and place of the thing that has it, and the background. The heads are thrown away; a LLaVA is trained on what is left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from recap.pllava import load_pllava, normalise
from recap.pllava.keymap import published_key
from recap.pllava.model import VisionTower
from recap.pocket.facts import COLOURS, PATTERNS, PLACES, SHADES, SHAPES, SIZES, Facts
from recap.pocket.pace import pace
from recap.pocket.recipes import LearnSettings
from recap.training.samples import read_sets
from recap.training.scratch import write_untrained
from recap.training.settings import DataSet, ScratchSettings
from recap.video import apply_view

HEADS = {"size": len(SIZES) + 1, "shape": len(SHAPES), "place": len(PLACES)}
UNKNOWN = -100
MODEL, POOLING = ScratchSettings(vocab_size=1024), (1, 3, 3)


def train_tower(
    folder: Path,
    pictures: Path,
    learn: LearnSettings,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> float:
    """Write an untrained LLaVA to `folder` whose vision tower has learnt `pictures` (see `make_pictures`).

    `on_step` is told the step and its loss; the mean loss of the last hundredth is returned. The same settings
    give the same weights on the same machine.
    """
    targets, paths = _prepare(folder, pictures, learn.seed)
    tower = load_pllava(folder, dtype="float32").vision_tower.requires_grad_(True)
    tower.encoder.config._attn_implementation = "eager"  # on a CPU its backward pass is the quicker one
    torch.manual_seed(learn.seed)
    heads = nn.Linear(MODEL.vision_hidden_size, len(COLOURS) * sum(HEADS.values()) + len(SHADES) + len(PATTERNS))
    losses = []
    for step, loss in enumerate(_steps(tower, heads, targets, paths, learn), start=1):
        losses.append(loss)
        on_step(step, loss)
    _store(tower, folder)
    last = losses[-max(1, learn.steps // 100) :]
    return sum(last) / len(last)


def _prepare(folder: Path, pictures: Path, seed: int) -> tuple[Tensor, list[Path]]:
    """Write the untrained model; the right answers (pictures, heads) and the files."""
    rows = [json.loads(line) for line in (pictures / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    facts = [Facts.of(row["facts"]) for row in rows]
    if any(thing.doing not in PLACES for each in facts for thing in each.things):
        raise ValueError(f"{pictures} holds clips, and a tower learns from pictures: recap pocket make --pictures")
    targets = torch.tensor([*map(target, facts)])
    samples, _, _ = read_sets([DataSet(str(pictures / "train.json"))])
    write_untrained(folder, MODEL, POOLING, samples, seed)
    return targets, [pictures / row["path"] for row in rows]


def _steps(
    tower: VisionTower, heads: nn.Linear, targets: Tensor, paths: list[Path], learn: LearnSettings
) -> Iterator[float]:
    """Train both, step by step; the loss of each."""
    learns = [*tower.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(learns, lr=learn.learning_rate, weight_decay=0.02)
    for step in range(learn.steps):
        optimizer.param_groups[0]["lr"] = learn.learning_rate * pace(step, learn.steps)
        chosen = torch.randint(len(paths), (learn.batch_size,)).tolist()
        pixels = normalise(_look([paths[place] for place in chosen]))
        with torch.autocast("cpu", torch.bfloat16):
            said = heads(tower(pixels).mean(1))
        loss = loss_of(said.float(), targets[chosen])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learns, 1.0)
        optimizer.step()
        yield loss.item()


def target(facts: Facts) -> list[int]:
    """The right answer of every head: (size, shape, place) for each colour, then shade and pattern."""
    by_colour = {thing.colour: thing for thing in facts.things}
    answers = []
    for colour in COLOURS:
        thing = by_colour.get(colour)
        answers += (
            [SIZES.index(thing.size), SHAPES.index(thing.shape), PLACES.index(thing.doing)]
            if thing
            else [len(SIZES), UNKNOWN, UNKNOWN]
        )
    return [*answers, SHADES.index(facts.shade), PATTERNS.index(facts.pattern)]


def loss_of(said: Tensor, wanted: Tensor) -> Tensor:
    """The mean cross entropy over what is known. `said` is (pictures, answers), `wanted` (pictures, heads)."""
    widths = [*HEADS.values()] * len(COLOURS) + [len(SHADES), len(PATTERNS)]
    parts = zip(said.split(widths, dim=1), wanted.T, strict=True)
    total = sum(F.cross_entropy(scores, right, ignore_index=UNKNOWN, reduction="sum") for scores, right in parts)
    return total / (wanted != UNKNOWN).sum()


def _look(paths: Sequence[Path]) -> np.ndarray:
    return np.concatenate([apply_view(np.asarray(Image.open(path)), "crop", MODEL.image_size) for path in paths])


def _store(tower: VisionTower, folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights |= {published_key(f"vision_tower.{name}"): weight for name, weight in tower.state_dict().items()}
    save_file(
        {key: weight.contiguous() for key, weight in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )
