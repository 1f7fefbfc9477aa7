"""Clips that crash, hang or bloat their decoder in the midst of honest ones, through a whole run on Ray."""

from __future__ import annotations

import shutil

import pyarrow.parquet as pq
import pytest

pytestmark = [pytest.mark.long, pytest.mark.ray, pytest.mark.timeout(280)]
KINDS = {"segfault": "crashed", "sleeps": "timeout", "spins": "cpu_limit", "allocates": "memory_limit"}
DOES = {"segfault": "segfaults", "sleeps": "hangs", "spins": "spins", "allocates": "allocates for ever"}


@pytest.fixture
def hostile(corpus):
    """Four clips beside the six, which tests/chaos/faulty makes hostile by their names."""
    for name in KINDS:
        shutil.copy(next(corpus.glob("*.mp4")), corpus / f"{name}.mp4")
    return corpus


def test_each_is_quarantined_for_its_reason_and_its_neighbours_are_captioned(
    start, tmp_path, hostile, faulty, accounts
):
    pipeline, output = tmp_path / "p.yaml", tmp_path / "out"
    pipeline.write_text(
        f"corpus: {{path: {hostile}}}\nengine: {{kind: rehearsal, max_new_tokens: 12}}\n"
        f"decode: {{timeout_s: 8, memory_gb: 0.5}}\noutput: {{path: {output}}}\n"
    )
    process = start("ray", pipeline, **faulty)
    said = process.communicate(timeout=240)[1]
    assert process.returncode == 0 and "Traceback" not in said, said
    rows = [row for path in output.glob("shards/*/quarantine/*") for row in pq.read_table(path).to_pylist()]
    assert {row["uri"].removesuffix(".mp4"): row["error_kind"] for row in rows} == KINDS
    captioned = [row for path in output.glob("shards/*/parquet/*") for row in pq.read_table(path).to_pylist()]
    assert len(captioned) == 6 and all(row["caption"] for row in captioned)
    for name, kind in KINDS.items():
        accounts.add(
            f"a clip whose decoder {DOES[name]}", f"quarantined as {kind}, its neighbours are captioned", output
        )
