from __future__ import annotations

import gc
import importlib
import os
import sys
from pathlib import Path

import pytest
import torch

from recap.pllava.random_checkpoint import write_random_checkpoint

HERE = Path(__file__).parent
CARD_BYTES = 80 * 10**9
FRAMES = 4
ENTRY_POINT = "[torch.backends]\npretended_cards = pretend:autoload\n"


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cards)


@pytest.fixture(scope="session")
def chip():
    """Two pretended cards, in this process and, from here on, in those that it starts."""
    sys.path.append(str(HERE))
    pretend = importlib.import_module("pretend")
    os.environ[pretend.BYTES] = str(CARD_BYTES)
    return pretend.insert(CARD_BYTES)


@pytest.fixture(autouse=True)
def cards(chip):
    """The cards as new, and nothing left on them."""
    yield chip
    gc.collect()  # hooks of a model in several places hold it in a circle
    chip.set_dry(False)
    for index in range(chip.cards()):
        chip.resize(index, CARD_BYTES)
        chip.limit(index, 1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-pllava"
    return write_random_checkpoint(folder, seed=3, num_frames=FRAMES, pooling_shape=(FRAMES, 2, 2))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def environment(chip, tmp_path, home):
    """Every Python that imports torch has the cards."""
    site = tmp_path / "site" / "pretended_cards-1.dist-info"
    site.mkdir(parents=True)
    (site / "entry_points.txt").write_text(ENTRY_POINT)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: pretended-cards\nVersion: 1\n")
    path = [str(HERE), str(site.parent), str(home)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)}
