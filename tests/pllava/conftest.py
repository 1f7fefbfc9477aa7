from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from recap.pllava.random_checkpoint import write_random_checkpoint

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_checkpoint(tmp_path_factory.mktemp("random"), seed=7)


@pytest.fixture
def checkpoint(tmp_path: Path, written: Path) -> Path:
    """A copy of the random checkpoint that a test may spoil."""
    return Path(shutil.copytree(written, tmp_path / "checkpoint"))


@pytest.fixture
def edit():
    """Change the tensors of a checkpoint folder in place: `edit(folder, change)`."""

    def apply(folder: Path, change) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return apply
