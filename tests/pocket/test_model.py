"""The model that ships: small, in the published layout, and right about the clips of the demo."""

from __future__ import annotations

import json

import pytest

from recap import jobs
from recap.ledger import read_manifest
from recap.pipeline import load_pipeline
from recap.pllava import load_pllava
from recap.pllava.hub import named_folder
from recap.pocket import Facts
from recap.pocket.score import score
from recap.report.rows import read_rows


@pytest.fixture(scope="module")
def truth(home):
    lines = (home / "pipelines/demo/pocket/manifest.jsonl").read_text().splitlines()
    return {row["path"]: Facts.of(row["facts"]) for row in map(json.loads, lines)}


@pytest.fixture(scope="module")
def scored(home, truth, tmp_path_factory):
    """What the demo's captions are worth at an alpha."""

    def run(alpha: float):
        out = tmp_path_factory.mktemp("demo") / "out"
        places = (f"corpus.path={home / 'pipelines/demo/pocket'}", f"output.path={out}", f"model.lora_alpha={alpha}")
        assert jobs.run(load_pipeline(home / "pipelines/demo.yaml", places), runner="loop").captioned == len(truth)
        rows = read_rows(out, read_manifest(out), ["uri", "caption"])
        return score((truth[row["uri"]], row["caption"]) for row in rows)

    return run


def test_it_is_small_and_complete():
    folder = named_folder("pocket")
    assert sum(file.stat().st_size for file in folder.iterdir()) < 25e6
    model = load_pllava("pocket")
    assert (model.config.num_frames, model.config.pooling_shape) == (16, (16, 3, 3))
    assert model.tokenizer is not None


def test_its_captions_are_right_and_motion_lies_in_the_lora(scored):
    full, without = scored(4), scored(0)
    assert full.right["whole"] >= 0.75, full
    assert min(full.right[name] for name in ("shape", "colour", "size", "background", "motion")) >= 0.9, full
    assert without.right["motion"] < 0.5, without
