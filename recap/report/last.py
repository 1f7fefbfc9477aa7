"""What the last run reported."""

from __future__ import annotations

from dataclasses import dataclass

from recap.ledger import RUN_AGAIN, read_json, shaped
from recap.report.speed import SpeedAccount
from recap.storage import Location


@dataclass(frozen=True)
class LastReport:
    """Of `report/report.json` what is read again. `speed` may be of an earlier run: the last one that had work."""

    generation: str = ""
    speed: SpeedAccount | None = None


def last_report(output: Location) -> LastReport:
    """An empty one where no run has left any. Raises ledger.Damaged."""
    path = output / "report/report.json"
    return shaped(path, read_json(path, RUN_AGAIN) or {}, LastReport, RUN_AGAIN)
