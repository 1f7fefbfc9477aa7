"""The pocket translator: learns to say captions of the pocket world in Chinese."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import MarianMTModel, MarianTokenizer

from recap.pocket.facts import Facts
from recap.pocket.grammar import chinese, english
from recap.pocket.marian import untrained, write_tokenizer
from recap.pocket.pace import pace
from recap.pocket.recipes import LearnSettings
from recap.pocket.sentences import draw_facts
from recap.training.states import check_same

SAVE_EVERY = 100
TOKENIZER_SENTENCES = 4000
_IGNORED = -100


def train_translator(
    folder: Path, learn: LearnSettings, on_step: Callable[[int, float], None] = lambda step, loss: None
) -> float:
    """Write a MarianMT checkpoint to `folder` that has read batches of captions, none of them held out.

    Killed, it goes on from the last state when called again with the same settings; ValueError where `folder`
    holds a state of others. `on_step` is told the step and its loss; the mean loss of the last hundredth of the
    steps taken is returned. The same settings give the same weights on the same machine.
    """
    state = _State(folder / "state.pt", asdict(learn))
    facts = list(_facts(f"{learn.seed}/tokenizer", TOKENIZER_SENTENCES))
    tokenizer = write_tokenizer(folder, map(english, facts), map(chinese, facts))
    model = untrained(tokenizer, learn.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learn.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    losses = []
    for step in range(state.restore(model, optimizer), learn.steps):
        optimizer.param_groups[0]["lr"] = learn.learning_rate * pace(step, learn.steps)
        losses.append(_learn(model, optimizer, _batch(tokenizer, f"{learn.seed}/{step}", learn.batch_size)))
        on_step(step + 1, losses[-1])
        if (step + 1) % SAVE_EVERY == 0:
            state.save(step + 1, model, optimizer)
    model.save_pretrained(folder)
    state.path.unlink(missing_ok=True)
    last = losses[-max(1, learn.steps // 100) :]
    return sum(last) / len(last) if last else math.nan


class _State:
    """What a killed training goes on from. Raises ValueError where that asked for something else."""

    def __init__(self, path: Path, asked: dict[str, float]):
        self.path, self._asked = path, asked
        self._found = torch.load(path) if path.exists() else None
        if self._found:
            check_same(path.parent, self._found["asked"], asked)

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """How many steps are done."""
        if self._found is None:
            return 0
        model.load_state_dict(self._found["model"])
        optimizer.load_state_dict(self._found["optimizer"])
        return self._found["done"]

    def save(self, done: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Replace what was saved before."""
        parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        aside = self.path.with_suffix(".new")
        torch.save({"asked": self._asked, "done": done} | parts, aside)
        os.replace(aside, self.path)


def _learn(model: MarianMTModel, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor]) -> float:
    loss = model(**batch).loss
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def _batch(tokenizer: MarianTokenizer, seed: str, size: int) -> dict[str, Tensor]:
    """`size` captions and their translations, padded: input_ids, attention_mask, labels."""
    facts = list(_facts(seed, size))
    sources, targets = [english(said) for said in facts], [chinese(said) for said in facts]
    batch = tokenizer(sources, text_target=targets, padding=True, return_tensors="pt")
    batch["labels"][batch["labels"] == tokenizer.pad_token_id] = _IGNORED
    return dict(batch)


def _facts(seed: str, count: int) -> Iterator[Facts]:
    chance = random.Random(seed)
    return (draw_facts(chance, held_out=False) for _ in range(count))
