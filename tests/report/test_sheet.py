from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from recap import jobs
from recap.cli import main
from recap.pipeline import load_pipeline
from recap.report.sheet import FRAMES, GAP, THUMB


@pytest.fixture(scope="module")
def output(tmp_path_factory, home):
    folder = tmp_path_factory.mktemp("sheet")
    (folder / "p.yaml").write_text(
        f"corpus: {{path: {home / 'pipelines/demo/clips/shapes'}, pattern: 'red-*'}}\n"
        f"engine: {{kind: rehearsal}}\noutput: {{path: {folder / 'out'}}}\n"
    )
    jobs.run(load_pipeline(folder / "p.yaml"), runner="loop")
    return folder / "out"


def test_frames_stand_beside_what_was_said(output, tmp_path):
    result = CliRunner().invoke(main, ["view", str(output), "--rows", "2", "--sheet", str(tmp_path / "sheet.png")])
    assert result.exit_code == 0, result.output
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert len(sheet) == 2 * (THUMB + 2 * GAP)
    pictures, words = np.split(sheet[: THUMB + 2 * GAP], [FRAMES * (THUMB + GAP)], axis=1)
    red = (pictures[..., 0] > 150) & (pictures[..., 1] < 80)
    assert red.any() and (words.min(axis=-1) < 60).any()


def test_an_output_without_a_run(tmp_path):
    result = CliRunner().invoke(main, ["view", str(tmp_path), "--sheet", str(tmp_path / "sheet.png")])
    assert result.exit_code == 2 and "no run has begun" in result.output
