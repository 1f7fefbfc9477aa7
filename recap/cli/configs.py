"""Commands that look at settings, and run nothing."""

from __future__ import annotations

import json
from pathlib import Path

import click

from recap.cli.options import OVERRIDES, PIPELINE

TRAINING = click.option("--training", is_flag=True, help="Of a training YAML instead.")


@click.group()
def config() -> None:
    """Look at settings without running anything."""


@config.command()
@PIPELINE
@OVERRIDES
@TRAINING
def show(pipeline: Path, overrides: tuple[str, ...], training: bool) -> None:
    """Print the effective settings as YAML, defaults included."""
    import yaml

    from recap.pipeline import load_pipeline
    from recap.training.recipe import as_dict, load_recipe

    settings = as_dict(load_recipe(pipeline, overrides)) if training else load_pipeline(pipeline, overrides).as_dict()
    click.echo(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), nl=False)


@config.command()
@TRAINING
def schema(training: bool) -> None:
    """Print the JSON schema of a pipeline YAML."""
    from recap import pipeline
    from recap.training import recipe

    click.echo(json.dumps((recipe if training else pipeline).json_schema(), indent=2))


@config.command()
@PIPELINE
@OVERRIDES
@TRAINING
def validate(pipeline: Path, overrides: tuple[str, ...], training: bool) -> None:
    """Check PIPELINE as far as that needs no network, corpus or GPU; prompts against a checkpoint that is here."""
    from recap.training.recipe import load_recipe

    if training:
        load_recipe(pipeline, overrides)
    else:
        _check(pipeline, overrides)
    click.echo(f"{pipeline} is valid")


def _check(pipeline: Path, overrides: tuple[str, ...]) -> None:
    from recap.pipeline import load_pipeline
    from recap.planning import check_settings
    from recap.pllava.hub import named_folder
    from recap.prepared import check_view

    settings = load_pipeline(pipeline, overrides)
    check_settings(settings)
    if named_folder(settings.model.checkpoint).is_dir():
        check_view(settings)
