"""A training from its recipe to a checkpoint, in this process or as one of several."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from recap.pllava import Strategy, read_config
from recap.training.bad_log import BadLog
from recap.training.curve import mean_loss
from recap.training.dataset import Conversations, collate
from recap.training.learner import Learner, trainable_counts
from recap.training.lock import sole_training
from recap.training.opening import open_learner
from recap.training.preflight import check
from recap.training.recipe import Recipe
from recap.training.samples import Sample, read_sets
from recap.training.saving import provenance, rescaled, save_adapter, save_full
from recap.training.scratch import write_untrained
from recap.training.states import (
    BEGAN,
    check_same,
    deepspeed_file,
    fetch_start,
    last_state,
    lasting_settings,
    refuse_captions,
)
from recap.training.trainer import PllavaTrainer, SeededSteps, Watch

STATES, START, BAD, SUMMARY = "states", "start", "bad_samples.jsonl", "trained.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """What a training left behind. `loss` is the mean over all its steps; `bad` counts what could not be used."""

    steps: int
    loss: float
    samples: int
    bad: int
    trainable: int
    parameters: int
    folders: dict[str, str]


def train(recipe: Recipe) -> Trained:
    """Train what `recipe` describes, from the last saved state where there is one.

    Run it in every process that `torchrun` or Ray starts; each gets its share of every batch. Raises
    ValueError for what the user can mend: a missing file or checkpoint, batches that do not divide, more bad
    samples than `data.max_bad`, an output that another training is writing to or that holds captions.
    """
    output = Path(recipe.output.path).expanduser()
    check(recipe)
    refuse_captions(output)
    arguments = _arguments(recipe, output)
    with sole_training(output) if arguments.process_index == 0 else nullcontext():
        return _train(recipe, output, arguments)


def _train(recipe: Recipe, output: Path, arguments: TrainingArguments) -> Trained:
    samples, bad_log, allowed = _samples(recipe, output, arguments)
    state = last_state(output / STATES)
    base = _start(recipe, output, samples, arguments, state)
    _same_training(output / BEGAN, lasting_settings(recipe, base), arguments, state)
    learner, strategy = open_learner(recipe, base)
    learns, size = trainable_counts(learner)  # before ZeRO-3 parts them
    watch = Watch(output, bad_log, limit=allowed)
    pad = next(iter(learner.pllava.config.pad_token_ids), learner.pllava.config.eos_token_ids[0])
    with closing(_dataset(recipe, base[0], strategy, samples, learner.pllava.tokenizer, bad_log)) as data:
        trainer = PllavaTrainer(
            learner,
            arguments,
            train_dataset=data,
            data_collator=partial(collate, pad_token_id=pad),
            callbacks=[SeededSteps(), watch],
        )
        result = trainer.train(resume_from_checkpoint=state)
    folders = _save(recipe, output, trainer, learner, base, strategy)
    first = trainer.is_world_process_zero()
    loss = mean_loss(output) if first else result.training_loss  # only the first surely sees all of loss.csv
    trained = Trained(result.global_step, loss, len(samples), len(bad_log.read()), learns, size, folders)
    if first:
        (output / SUMMARY).write_text(json.dumps(asdict(trained), indent=2) + "\n", encoding="utf-8")
    return trained


def _arguments(recipe: Recipe, output: Path) -> TrainingArguments:
    train, cuda = recipe.train, torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(output / STATES),
        deepspeed=deepspeed_file(train.deepspeed),
        per_device_train_batch_size=train.batch_size,
        gradient_accumulation_steps=_accumulation(recipe),
        num_train_epochs=train.epochs,
        max_steps=train.max_steps or -1,
        learning_rate=train.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": train.min_learning_rate_ratio},
        warmup_steps=train.warmup_ratio,
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        bf16=train.precision == "bf16",
        use_cpu=not cuda,
        ddp_backend="gloo" if not cuda and _processes() > 1 else None,
        ddp_find_unused_parameters=False,
        seed=train.seed,
        logging_steps=train.log_every_steps,
        logging_nan_inf_filter=False,  # it would count such a loss as 0
        save_steps=train.save_every_steps,
        save_total_limit=recipe.output.keep_states,
        dataloader_num_workers=recipe.data.workers,
        dataloader_persistent_workers=recipe.data.workers > 0,
        dataloader_pin_memory=cuda,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=[],
    )
    if (cards := arguments.n_gpu) > 1:
        log.warning(
            "training on one of %d GPUs: all take part with torchrun --nproc-per-node %d -m recap train", cards, cards
        )
        arguments._n_gpu = 1  # else the batch of one process would be that many times larger, and parted among them
    return arguments


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _accumulation(recipe: Recipe) -> int:
    train, processes = recipe.train, _processes()
    if train.global_batch % (train.batch_size * processes):
        raise ValueError(
            f"train.global_batch {train.global_batch} is no multiple of train.batch_size {train.batch_size} × "
            f"{processes} processes; change one of them"
        )
    return train.global_batch // (train.batch_size * processes)


def _samples(recipe: Recipe, output: Path, arguments: TrainingArguments) -> tuple[list[Sample], BadLog, float]:
    """What can be learnt from, where the rest is named, and how much of it `data.max_bad` allows."""
    samples, bad, read = read_sets(recipe.data.sets)
    bad_log = BadLog(output / BAD, recipe.decode)
    if arguments.process_index == 0:
        bad_log.begin(bad, samples)
    if not read:
        raise ValueError(f"data.sets: there is no conversation in {', '.join(each.path for each in recipe.data.sets)}")
    allowed = recipe.data.max_bad * read
    if len(bad) > allowed or not samples:
        reasons = ", ".join(f"{each.path} ({each.reason})" for each in bad[:3])
        raise ValueError(
            f"data: {len(bad)} of {read} samples are bad, more than data.max_bad {recipe.data.max_bad:g} allows: "
            f"{reasons}; {bad_log.path} has all of them"
        )
    return samples, bad_log, allowed


def _start(
    recipe: Recipe, output: Path, samples: Sequence[Sample], arguments: TrainingArguments, state: str | None
) -> list[Path]:
    """The folders to start from, the base last; a model from scratch is written first, unless a `state` is of it."""
    sizes = recipe.model.scratch
    if sizes is None:
        return fetch_start(recipe.model)
    folder = output / START
    side = min(12, sizes.image_size // sizes.patch_size)  # as the published models, or what there are patches for
    pooling = recipe.model.pooling or (recipe.frames.count, side, side)
    with arguments.main_process_first(desc="writing the untrained model"):
        if arguments.process_index == 0 and state is None:
            write_untrained(folder, sizes, pooling, samples, recipe.train.seed)
    return [folder]


def _same_training(path: Path, asked: Mapping[str, Any], arguments: TrainingArguments, state: str | None) -> None:
    """Write down what is asked; ValueError where there is a `state` of a training that asked for something else."""
    if state and path.exists():
        check_same(path.parent, json.loads(path.read_text(encoding="utf-8")), asked)
    elif arguments.process_index == 0:
        path.write_text(json.dumps(asked, indent=2) + "\n", encoding="utf-8")


def _dataset(
    recipe: Recipe, folder: Path, strategy: Strategy, samples: Sequence[Sample], tokenizer: Any, bad_log: BadLog
) -> Conversations:
    request = strategy.frame_request(read_config(folder), recipe.frames.count, recipe.frames.view)
    return Conversations(samples, tokenizer, request, recipe.data, recipe.decode, bad_log)


def _save(
    recipe: Recipe, output: Path, trainer: PllavaTrainer, learner: Learner, base: Sequence[Path], strategy: Strategy
) -> dict[str, str]:
    state = trainer.whole_state()
    if not trainer.is_world_process_zero():
        return {}
    state = rescaled(state, recipe.train.lora.alpha, recipe.output.lora_alpha)
    trained = [name.removeprefix("pllava.") for name, weight in learner.named_parameters() if weight.requires_grad]
    changes = _changes(recipe, learner, base)
    folders = {kind: output / kind for kind in recipe.output.save}
    dtype = getattr(torch, recipe.output.dtype)
    if "full" in folders:
        save_full(state, folders["full"], base, dtype, changes)
    if "adapter" in folders:
        save_adapter(state, trained, folders["adapter"], base, dtype, changes)
    return {kind: str(folder) for kind, folder in folders.items()}


def _changes(recipe: Recipe, learner: Learner, base: Sequence[Path]) -> Mapping[str, Any]:
    lora = recipe.train.lora if "lora" in recipe.train.trainable else None
    pooling = recipe.model.pooling or learner.pllava.config.pooling_shape
    return {
        "num_frames": recipe.frames.count,
        "pooling_shape": list(pooling),
        "provenance": provenance(base, lora),
    }
