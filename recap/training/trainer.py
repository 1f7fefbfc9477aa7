"""transformers' Trainer, made to go on exactly from what it saved, and what is watched while it runs."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recap.training.bad_log import BadLog
from recap.training.curve import Curve


class PllavaTrainer(Trainer):
    """Drives a `Learner`. Its states hold the weights that learn; the frozen ones are those of the base."""

    def _run_epoch(self, *arguments: Any, **named: Any) -> None:
        # From the state of the last step the Trainer would take one step more than was asked.
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*arguments, **named)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        if not self.args.should_save:
            return
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        state = self.model.state_dict() if state_dict is None else state_dict
        learns = {name for name, weight in self.model.named_parameters() if weight.requires_grad}
        kept = {name: state[name].contiguous().cpu() for name in sorted(learns & state.keys())}
        for name, weight in kept.items():
            _check_finite(name, weight, self.state.global_step)
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})

    def _issue_warnings_after_load(self, load_result) -> None:
        assert not load_result.unexpected_keys, load_result.unexpected_keys[:3]

    def whole_state(self) -> dict[str, Tensor]:
        """Every weight by the names of `Pllava`, gathered from all processes; empty but on the first."""
        model = self.deepspeed if self.is_deepspeed_enabled else self.model
        state = self.accelerator.get_state_dict(model) or {}
        return {name.removeprefix("pllava."): weight for name, weight in state.items()}


class SeededSteps(TrainerCallback):
    """Draws each step's dropout from the seed, the step and the process, so that a resumed training draws the same.

    The generator's saved state would not do: starting an epoch draws from it, a resumed one once more.
    """

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_) -> None:
        torch.manual_seed(random.Random(f"{args.seed}/{state.global_step}/{args.process_index}").getrandbits(63))


class Watch(TrainerCallback):
    """Writes the loss curve and stops a training whose samples turn out bad."""

    def __init__(self, folder: Path, bad_log: BadLog, limit: float):
        self._folder, self._bad_log, self._limit = folder, bad_log, limit
        self._curve: Curve | None = None
        self._started = 0.0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_) -> None:
        self._started = time.monotonic()
        if state.is_world_process_zero:
            self._curve = Curve(self._folder, state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_) -> None:
        # A mean that reached across a save would be another one in a training that goes on from there.
        control.should_log |= control.should_save or state.global_step == state.max_steps

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict | None = None, **_
    ) -> None:
        if logs and "loss" in logs:
            _check_finite("the loss", torch.tensor(logs["loss"]), state.global_step)
        if self._curve and logs and "loss" in logs:
            seconds = time.monotonic() - self._started
            row = {"step": state.global_step, "epoch": round(state.epoch or 0.0, 4), "seconds": seconds}
            self._curve.add(row | {name: logs[name] for name in ("loss", "learning_rate")})
        self._check_samples()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_) -> None:
        if self._curve:
            self._curve.draw()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_) -> None:
        if self._curve:
            self._curve.draw()

    def _check_samples(self) -> None:
        bad = self._bad_log.read()
        if len(bad) > self._limit:
            path, reason = bad[-1]
            raise ValueError(
                f"data: {len(bad)} samples are bad, more than data.max_bad allows, the last {path} ({reason}); "
                f"{self._bad_log.path} has all of them; mend them or take them out, and run this again"
            )


def _check_finite(name: str, values: Tensor, step: int) -> None:
    if not values.isfinite().all():
        raise ValueError(
            f"train: by step {step} {name} is no longer finite, and nothing of it was saved; lower "
            "train.learning_rate or set train.max_grad_norm, and begin in a new folder"
        )
