"""Sentences of schemas/CONTRACT.md that no other test holds, and that its table of tests names real ones."""

from __future__ import annotations

import json
import os
import re
import socket

import pyarrow.parquet as pq
import pytest

from recap import jobs
from recap.ledger.schema import CAPTION, RECORD
from recap.pipeline import load_pipeline


@pytest.fixture(scope="session")
def contract(home) -> str:
    return (home / "schemas" / "CONTRACT.md").read_text()


def test_the_table_of_tests_names_tests_that_exist(contract, home):
    rows = [line.split(" | ", 1)[1] for line in contract.split("## What holds it")[1].splitlines() if " | " in line]
    cells = "\n".join(rows)
    last = None
    for path, words in re.findall(r"`(tests/[\w/.]+)`|`(\w+)`", cells):
        if path:
            last = (home / path).read_text()
        else:
            assert re.search(rf"def test_\w*{words}", last), words
    assert last is not None


def listed(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def test_the_columns_of_a_record_are_the_contracts(contract):
    columns = contract.split("## Records\n\n`")[1].split("`")[0]
    assert RECORD.names == listed(columns)
    caption = contract.split("`captions` is a list of\n  `{")[1].split("}")[0]
    assert [field.name for field in CAPTION] == listed(caption)


def test_a_fragment_is_flushed_before_it_is_named_and_its_folder_after(output, monkeypatch):
    steps = []
    paths = {}
    real = {name: getattr(os, name) for name in ("open", "fsync", "replace")}

    def opens(path, *rest, **options):
        descriptor = real["open"](path, *rest, **options)
        paths[descriptor] = os.path.basename(path)
        return descriptor

    output.see("a")
    record = output.caption("a")
    monkeypatch.setattr(os, "open", opens)
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: (steps.append(("fsync", paths[descriptor])), real["fsync"](descriptor))
    )
    monkeypatch.setattr(os, "replace", lambda a, b: (steps.append(("replace", b.name)), real["replace"](a, b)))
    path = output.commit(1, "x", record)
    (first, aside), second, third = steps
    assert first == "fsync" and aside.startswith(f".{path.name}") and aside.endswith(".tmp")
    assert [second, third] == [("replace", path.name), ("fsync", "ck")]


def test_nothing_of_the_run_is_in_a_shard_or_the_manifest(tmp_path, home, deliverable):
    """Two outputs of one corpus, in other folders, with other batches, cuts of work and epochs."""
    clips = home / "pipelines/demo/clips/shapes"
    path = tmp_path / "p.yaml"
    path.write_text(
        f"corpus: {{path: {clips}}}\nengine: {{kind: rehearsal, max_new_tokens: 9}}\noutput: {{path: unset}}\n"
    )
    one, two = tmp_path / "one", tmp_path / "elsewhere" / "two"
    jobs.run(load_pipeline(path, [f"output.path={one}"]), runner="loop")
    for limit in (3, 9, None):
        jobs.run(load_pipeline(path, [f"output.path={two}", "engine.batch_size=3"]), runner="loop", limit=limit)
    assert deliverable(one) == deliverable(two)
    for name, data in deliverable(two).items():
        for foreign in (socket.gethostname(), str(tmp_path), str(clips)):
            assert foreign.encode() not in data, name
    rows = [row for shard in one.glob("shards/*/parquet/*") for row in pq.read_table(shard).to_pylist()]
    assert len(rows) == json.loads((one / "manifest.json").read_text())["reconciliation"]["captioned"] == 21
