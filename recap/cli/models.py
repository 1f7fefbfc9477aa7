"""Commands that train models, and look after them."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recap.cli.options import OVERRIDES, RECIPE, progress_bar

if TYPE_CHECKING:
    from recap.pocket.recipes import LearnSettings


@click.command()
@RECIPE
@OVERRIDES
@click.option("--json", "as_json", is_flag=True, help="Print what was trained as one JSON object on stdout.")
def train(recipe: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Train the PLLaVA that RECIPE describes; run again to go on after any stop."""
    from recap.training.launch import launch
    from recap.training.recipe import load_recipe

    trained = launch(load_recipe(recipe, overrides))
    if not trained.folders:
        return  # the first process says it
    if as_json:
        click.echo(json.dumps(asdict(trained)))
    else:
        click.echo(f"{trained.steps} steps, mean loss {trained.loss:.4f}, {trained.bad} bad samples")
        for kind, folder in trained.folders.items():
            click.echo(f"{kind}: {folder}")


@click.group()
def pocket() -> None:
    """A small world of moving shapes, to train and to measure in."""


@pocket.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--clips", type=click.IntRange(min=1), help="How many mp4 clips to make.")
@click.option("--pictures", type=click.IntRange(min=1), help="Or how many JPEG pictures.")
@click.option("--seed", default=0, show_default=True, help="What the clips are drawn from.")
@click.option("--wider", multiple=True, help="Add to the world: turning, bouncing or camera_pan.")
def make(folder: Path, clips: int | None, pictures: int | None, seed: int, wider: tuple[str, ...]) -> None:
    """Write a corpus to FOLDER: files, manifest.jsonl with captions and facts, train.json."""
    from recap.pocket import make_clips, make_pictures

    if (clips is None) == (pictures is None):
        raise click.UsageError("say either --clips or --pictures, and how many")
    if pictures and wider:
        raise click.UsageError("--wider is of clips: in pictures nothing moves")
    with progress_bar(clips or pictures, str(folder)) as bar:
        if clips:
            make_clips(folder, clips, seed, wider=wider, on_made=lambda _: bar.update(1))
        else:
            make_pictures(folder, pictures, seed, on_made=lambda _: bar.update(1))


@pocket.command()
@RECIPE
@OVERRIDES
def tower(recipe: Path, overrides: tuple[str, ...]) -> None:
    """Write an untrained LLaVA whose vision tower has learnt to see the pictures that RECIPE names."""
    from recap.pocket.recipes import load_tower_recipe
    from recap.pocket.tower import train_tower

    asked = load_tower_recipe(recipe, overrides)
    _learn(
        asked.output.path, asked.train, functools.partial(train_tower, asked.output.path, asked.data.path, asked.train)
    )


@pocket.command()
@RECIPE
@OVERRIDES
def translator(recipe: Path, overrides: tuple[str, ...]) -> None:
    """Train the translator of captions into Chinese that RECIPE describes; run again to go on after any stop."""
    from recap.pocket.recipes import load_translator_recipe
    from recap.pocket.translation import train_translator

    asked = load_translator_recipe(recipe, overrides)
    _learn(asked.output.path, asked.train, functools.partial(train_translator, asked.output.path, asked.train))


def _learn(folder: Path, learn: LearnSettings, train: Callable[..., float]) -> None:
    with progress_bar(learn.steps, str(folder)) as bar:
        loss = train(on_step=lambda step, _: bar.update(step - bar.pos))
    click.echo(f"{folder}: loss {loss:.5f}")


@click.group()
def model() -> None:
    """Look after checkpoints."""


@model.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--alpha", default=4.0, show_default=True, help="The LoRA is merged with weight alpha / its rank.")
@click.option("--base", type=click.Path(path_type=Path), help="The LLaVA beneath LoRA and projector weights.")
def merge(checkpoint: Path, out: Path, alpha: float, base: Path | None) -> None:
    """Write the folder CHECKPOINT with its LoRA merged to OUT; OUT/language_model is a plain Llama."""
    from recap.pllava.export import merge_checkpoint

    merge_checkpoint(checkpoint, out, base=base, lora_alpha=alpha)
    click.echo(out)


@model.command("hash")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--full", is_flag=True, help="Read every byte of the weights.")
def hash_(checkpoint: Path, full: bool) -> None:
    """Print the digest that tells the weights in the folder CHECKPOINT from others."""
    from recap.pllava import weight_digest

    click.echo(weight_digest(checkpoint, full=full))
