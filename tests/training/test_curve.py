from __future__ import annotations

import csv

import pytest

from recap.training.curve import COLUMNS, Curve, mean_loss


def test_a_curve_outlasts_a_kill_while_a_training_takes_it_up(tmp_path, monkeypatch):
    curve = Curve(tmp_path, 0)
    for step in (2, 4):
        curve.add(dict.fromkeys(COLUMNS, 1.5) | {"step": step})
    before = (tmp_path / "loss.csv").read_text()

    def killed(_self, rows):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(csv.DictWriter, "writerows", killed)
        with pytest.raises(KeyboardInterrupt):
            Curve(tmp_path, 2)
    assert (tmp_path / "loss.csv").read_text() == before
    Curve(tmp_path, 2)
    assert (tmp_path / "loss.csv").read_text() == before[: before.index("4,")]
    assert mean_loss(tmp_path) == 1.5


def test_a_torn_last_row_is_none(tmp_path):
    Curve(tmp_path, 0).add(dict.fromkeys(COLUMNS, 1.5) | {"step": 2})
    with (tmp_path / "loss.csv").open("a") as file:
        file.write("1")
    Curve(tmp_path, 2).add(dict.fromkeys(COLUMNS, 1.5) | {"step": 3})
    rows = (tmp_path / "loss.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["2", "3"]
