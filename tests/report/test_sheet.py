from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from recap import jobs
from recap.cli import main
from recap.pipeline import load_pipeline
from recap.report.sheet import FRAMES, GAP, THUMB, write_sheet

from .outputs import caption, row, write_output


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


def test_a_file_that_breaks_off_shows_what_it_has(tmp_path, make_truncated):
    make_truncated(tmp_path / "cut.mkv")
    output = write_output(tmp_path / "out", [row(0, (caption("A bird."),), uri="cut.mkv")])
    sheet = np.asarray(Image.open(write_sheet(output, tmp_path, tmp_path / "sheet.png", 1)))
    assert len(np.unique(sheet[:, : FRAMES * (THUMB + GAP)])) > 99


def test_a_name_of_no_picture_is_refused_before_anything_is_decoded(tmp_path):
    with pytest.raises(ValueError, match=r"sheet: no picture has such a name; let it end in \.png"):
        write_sheet(tmp_path, tmp_path, tmp_path / "sheet", 1)
    for read_only in ("sheet.mpg", "sheet.psd", "sheet.h5"):
        with pytest.raises(ValueError, match="no picture has such a name"):
            write_sheet(tmp_path, tmp_path, tmp_path / read_only, 1)


def test_a_sheet_is_no_page(tmp_path):
    result = CliRunner().invoke(main, ["view", str(tmp_path), "--sheet", "sheet.png", "--page", "page.html"])
    assert result.exit_code == 2 and "either --sheet or --page" in result.output


def test_an_output_without_a_run(tmp_path):
    result = CliRunner().invoke(main, ["view", str(tmp_path), "--sheet", str(tmp_path / "sheet.png")])
    assert result.exit_code == 2 and "no run has begun" in result.output
