from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from recap import ledger
from recap.records import CAPTIONED, QUARANTINED, Caption, Clip, Record


@dataclass
class Output:
    """An output folder whose corpus and records a test writes by hand."""

    path: Path
    snapshot: ledger.Snapshot | None = None

    @property
    def fragments(self) -> Path:
        return self.path / "fragments" / "ck"

    def see(self, *names: str, version: str = "1", **extra) -> ledger.Growth:
        """Let the corpus be `names`, all in one version."""
        self.snapshot, growth = ledger.update_snapshot(self.path, self.scanned(*names, version=version, **extra))
        return growth

    @staticmethod
    def scanned(*names: str, version: str = "1", **extra) -> pa.Table:
        columns = {
            "clip_id": [f"{name.encode().hex():0>32}" for name in names],
            "uri": list(names),
            "source_version": [version] * len(names),
            "start_s": pa.array([None] * len(names), pa.float64()),
            "end_s": pa.array([None] * len(names), pa.float64()),
        }
        return pa.table(columns | extra)

    def rows(self, *columns: str) -> list[tuple]:
        """Some columns of every clip ever seen."""
        everyone = list(range(len(self.snapshot)))
        table = self.snapshot.rows(everyone, self.snapshot.reader())
        return list(zip(*(table[name].to_pylist() for name in columns), strict=True))

    def clips(self) -> dict[str, Clip]:
        return {clip.uri: clip for clip in self.snapshot.clips(self.snapshot.present, self.path)}

    def commit(self, epoch: int, writer: str, *records: Record, seq: int = 0) -> Path:
        """One fragment."""
        out = ledger.FragmentWriter(self.fragments, epoch, writer, 30)
        out._seq = seq
        for record in records:
            out.append(record)
        out.flush()
        return self.fragments / f"{epoch:06d}-{writer}-{seq:06d}.parquet"

    def caption(self, name: str, text: str = "text") -> Record:
        return Record(self.clips()[name], CAPTIONED, "ck", "rk", captions=(Caption("dense", text),))

    def failure(self, name: str, stage: str = "probe", kind: str = "empty_file") -> Record:
        return Record(self.clips()[name], QUARANTINED, "ck", "rk", error_stage=stage, error_kind=kind)

    def committed(self, on_torn=ledger.set_aside) -> ledger.Committed:
        return ledger.Committed(self.snapshot, self.fragments, on_torn)

    def missing(self) -> list[str]:
        ordinals = self.committed().missing()
        return [clip.uri for clip in self.snapshot.clips(ordinals, self.path)]

    def records(self, rows: int = 1024) -> list[dict]:
        return [row for batch in self.committed().batches(rows) for row in batch.to_pylist()]

    def captions(self) -> dict[str, str]:
        return {row["uri"]: row["caption"] for row in self.records()}


@pytest.fixture
def output(tmp_path) -> Output:
    return Output(tmp_path)
