"""The loss as it falls: loss.csv while training runs, loss.png of it."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLUMNS = ("step", "epoch", "loss", "learning_rate", "seconds")


class Curve:
    """One row for every logged step. Rows behind `from_step` are those of a run that was killed, and go."""

    def __init__(self, folder: Path, from_step: int):
        self.folder = folder
        rows = [row for row in _read(folder / "loss.csv") if int(row["step"]) <= from_step]
        self._before_s = float(rows[-1]["seconds"]) if rows else 0.0
        aside = folder / "loss.new"
        with aside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(aside, folder / "loss.csv")

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row; `seconds` are those of this run, to which those of earlier ones are added."""
        row = {**row, "seconds": round(self._before_s + row["seconds"], 1)}
        with (self.folder / "loss.csv").open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)

    def draw(self) -> None:
        """Write loss.png."""
        from matplotlib.figure import Figure

        rows = _read(self.folder / "loss.csv")
        if not rows:
            return
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot([int(row["step"]) for row in rows], [float(row["loss"]) for row in rows])
        axes.set(xlabel="optimizer step", ylabel="loss per answer token", yscale="log")
        axes.grid(alpha=0.3)
        figure.savefig(self.folder / "loss.png", dpi=120, metadata={"Software": None})


def mean_loss(folder: Path) -> float:
    """The mean over all logged steps of the loss.csv in `folder`, those before a kill among them; nan without any."""
    rows = _read(folder / "loss.csv")
    steps = [0, *(int(row["step"]) for row in rows)]
    total = sum(float(row["loss"]) * (step - last) for row, last, step in zip(rows, steps, steps[1:], strict=False))
    return total / steps[-1] if rows else math.nan


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    whole, _, _torn = path.read_text(encoding="utf-8").rpartition("\n")  # a full disk may tear the last line
    return list(csv.DictReader(whole.splitlines()))
