"""What the suite did and what it cost: one row a fault, counted in the outputs themselves."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from recap import ledger

HEAD = ("fault", "outcome", "times", "clips lost", "clips doubled")


@dataclass
class Row:
    """A fault, what became of it, how often it was tried, and the clips that it cost."""

    fault: str
    outcome: str
    times: int
    lost: int
    doubled: int


@dataclass
class Accounts:
    """The rows of a session of tests."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)

    def add(self, fault: str, outcome: str, output: Path, times: int = 1) -> None:
        """`output` is complete after `times` of `fault`: count its clips. Nothing may be lost, doubled or left over."""
        lost, doubled = census(output)
        row = self.rows.setdefault((fault, outcome), Row(fault, outcome, 0, 0, 0))
        row.times, row.lost, row.doubled = row.times + times, row.lost + lost, row.doubled + doubled
        assert (lost, doubled) == (0, 0), row
        assert leftovers(output) == []

    def write(self, folder: Path, seconds: float) -> str:
        """chaos.json and chaos.md in `folder`; the text of the latter."""
        rows = sorted(self.rows.values(), key=lambda row: (row.fault, row.outcome))
        lines = [HEAD, ("---",) * len(HEAD), *(tuple(map(str, asdict(row).values())) for row in rows)]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{seconds:.0f} s\n"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "chaos.md").write_text(text)
        (folder / "chaos.json").write_text(json.dumps({"seconds": round(seconds), "rows": list(map(asdict, rows))}))
        return text


def census(output: Path) -> tuple[int, int]:
    """How many clips of the snapshot are in no shard, and how many in more than one place."""
    snapshot = ledger.read_snapshot(output)
    expected = Counter(snapshot.rows(snapshot.present, snapshot.reader(["clip_id"]))["clip_id"].to_pylist())
    manifest = ledger.read_manifest(output)
    found: Counter[str] = Counter()
    for shard in manifest.shards:
        if shard.kind in ("parquet", "quarantine"):
            found.update(pq.read_table(output / shard.path, columns=["clip_id"])["clip_id"].to_pylist())
    books = manifest.reconciliation
    parts = books.captioned + books.quarantined + books.filtered + books.remaining
    assert books.clips == parts == len(expected), books
    return len(expected.keys() - found.keys()), sum(found.values()) - len(found)


def leftovers(output: Path) -> list[Path]:
    """What only a run that is at work may have below `output`."""
    found = [*output.rglob(".*.tmp"), *output.rglob(".token-*"), *output.glob("lease.json")]
    generations = list((output / "shards").iterdir())
    return found + (generations if len(generations) != 1 or generations[0].name == ".unfinished" else [])
