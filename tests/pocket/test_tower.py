from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from recap.cli import main
from recap.pllava import load_pllava
from recap.pocket import Facts, Thing, make_clips, make_pictures
from recap.pocket.facts import COLOURS, PLACES, SHAPES
from recap.pocket.recipes import LearnSettings
from recap.pocket.tower import HEADS, UNKNOWN, loss_of, target, train_tower


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tower") / "pictures"
    make_pictures(folder, 6, seed=1)
    return folder


def test_a_corpus_of_clips_is_refused_and_nothing_is_written(tmp_path):
    make_clips(tmp_path / "clips", 2, seed=1)
    with pytest.raises(ValueError, match="holds clips, and a tower learns from pictures"):
        train_tower(tmp_path / "tower", tmp_path / "clips", LearnSettings(steps=1, seed=3))
    assert not (tmp_path / "tower").exists()


def test_targets_name_what_each_colour_is():
    facts = Facts((Thing("large", "red", "ring", "middle"),), "light", "dotted")
    answers = target(facts)
    place = len(HEADS) * COLOURS.index("red")
    assert answers[place : place + 3] == [1, SHAPES.index("ring"), PLACES.index("middle")]
    assert answers[:3] == [2, UNKNOWN, UNKNOWN] and answers[-2:] == [1, 3]


def test_the_right_answer_costs_least():
    wanted = torch.tensor([target(Facts((Thing("small", "blue", "bar", "top"),), "dark", "plain"))])
    widths = [*HEADS.values()] * len(COLOURS) + [2, 4]
    right = torch.cat([torch.eye(width)[max(0, answer)] for width, answer in zip(widths, wanted[0], strict=True)])
    assert loss_of(9 * right[None], wanted) < 0.01 < loss_of(torch.zeros(1, sum(widths)), wanted)


def test_only_the_tower_learns_and_one_seed_gives_one_tower(pictures, tmp_path):
    for name, steps in (("one", 2), ("two", 2), ("less", 1)):
        train_tower(tmp_path / name, pictures, LearnSettings(steps=steps, seed=3))
    one, two, less = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two", "less"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    changed = {key.split(".")[0] for key in one if not torch.equal(one[key], less[key])}
    assert changed == {"vision_tower"}
    assert load_pllava(tmp_path / "one").config.pooling_shape == (1, 3, 3)


def test_the_command_says_how_well_it_learnt(pictures, home, tmp_path):
    recipe = home / "pipelines/pocket/tower.yaml"
    overrides = [f"data.path={pictures}", "train.steps=1", f"output.path={tmp_path / 't'}"]
    result = CliRunner().invoke(main, ["pocket", "tower", str(recipe), *overrides])
    assert result.exit_code == 0 and "loss" in result.output
