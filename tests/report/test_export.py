from __future__ import annotations

import csv
import io

from click.testing import CliRunner

from recap.cli import main
from recap.records import FILTERED, QUARANTINED

from .outputs import caption, row, translation, write_output

FORMULA = '=HYPERLINK("http://example.org","a ""cat""")'


def exported(folder, *options) -> list[dict[str, str]]:
    rows = [
        row(
            0,
            (caption('A cat,\na "dog".', flags=("echo", "too_long"), scores=(0.4, 0.6)), translation("x", "一只猫。")),
        ),
        row(1, (caption(FORMULA),), start_s=1.5, uri="-a.mp4"),
        row(2, (), status=QUARANTINED, error_stage="probe", error_kind="empty_file", error_message="it is empty"),
        row(3, (caption("filtered", verdict="fail"),), status=FILTERED),
    ]
    output = write_output(folder / "out", rows)
    result = CliRunner().invoke(main, ["export", str(output), str(folder / "captions.csv"), *options])
    assert result.exit_code == 0, result.output
    assert result.output == f"3 captions in {folder / 'captions.csv'}\n"
    with open(folder / "captions.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_caption_with_its_text_untouched(tmp_path):
    english, chinese, formula = exported(tmp_path)
    assert english["text"] == 'A cat,\na "dog".' and english["flags"] == "echo too_long" and english["score"] == "0.6"
    assert (chinese["language"], chinese["text"], chinese["clip_id"]) == ("zh", "一只猫。", english["clip_id"])
    assert (formula["text"], formula["uri"], formula["start_s"]) == (FORMULA, "-a.mp4", "1.5")


def test_a_spreadsheet_gets_a_mark_and_no_formula(tmp_path):
    *_, formula = exported(tmp_path, "--bom")
    assert (tmp_path / "captions.csv").read_bytes().startswith(b"\xef\xbb\xbfclip_id,")
    assert (formula["text"], formula["uri"], formula["start_s"]) == (f"'{FORMULA}", "'-a.mp4", "1.5")


def test_standard_output_gets_the_table_and_nothing_else(tmp_path):
    output = write_output(tmp_path / "out", [row(0, (caption("A cat，一只猫。"),))])
    result = CliRunner().invoke(main, ["export", str(output), "-"])
    assert result.exit_code == 0 and result.stderr == "1 captions\n"
    (only,) = csv.DictReader(io.StringIO(result.stdout, newline=""))
    assert only["text"] == "A cat，一只猫。" and [path.name for path in tmp_path.iterdir()] == ["out"]
    for option in ("--sheet", "--page"):
        refused = CliRunner().invoke(main, ["view", str(output), option, "-"])
        assert refused.exit_code == 2 and "standard output" in refused.stderr


def test_a_full_disk_is_a_message(tmp_path):
    output = write_output(tmp_path / "out", [row(0, (caption("A cat."),))])
    result = CliRunner().invoke(main, ["export", str(output), "/dev/full"])
    assert result.exit_code == 1 and result.stderr == "Error: No space left on device\n"


def test_full_width_signs_of_a_formula_are_inert_too(tmp_path):
    output = write_output(tmp_path / "out", [row(0, (caption("＝1+1，两只猫。"),))])
    result = CliRunner().invoke(main, ["export", str(output), "-", "--bom"])
    assert "'＝1+1，两只猫。" in result.stdout


def test_an_output_without_a_run_leaves_no_file(tmp_path):
    result = CliRunner().invoke(main, ["export", str(tmp_path), str(tmp_path / "captions.csv")])
    assert result.exit_code == 2 and "no run has finished" in result.output
    assert not list(tmp_path.iterdir())
