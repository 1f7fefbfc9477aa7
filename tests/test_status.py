from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import time

import pytest
from rich.console import Console

from recap import jobs, ledger
from recap.report.status import print_status
from recap.status import status


def test_a_run_that_ended_and_one_that_stopped_are_told_apart(rehearsal, corpus, tmp_path):
    (corpus / "bad.mp4").touch()
    jobs.run(rehearsal(), runner="loop", limit=3)
    found = status(tmp_path / "out")
    assert (found.state, found.holder) == ("stopped", None)
    assert found.books == {"clips": 7, "captioned": 2, "quarantined": 1, "filtered": 0, "remaining": 4}
    assert found.reasons == {"probe/empty_file": 1} and 0 <= found.last_commit_s < 60
    jobs.run(rehearsal(), runner="loop")
    found = status(tmp_path / "out")
    assert found.state == "complete" and found.books["remaining"] == 0
    assert found.generation == json.loads((tmp_path / "out/manifest.json").read_text())["generation"]


def test_an_output_whose_shards_were_never_cut_is_not_complete(rehearsal, tmp_path, monkeypatch):
    with monkeypatch.context() as full, pytest.raises(ledger.OutputFailed):
        full.setattr(jobs.shards, "write_generation", no_room)
        jobs.run(rehearsal(), runner="loop")
    found = status(tmp_path / "out")
    assert (found.state, found.generation, found.books["captioned"]) == ("stopped", None, 6)
    jobs.run(rehearsal(), runner="loop")
    assert status(tmp_path / "out").state == "complete"


def no_room(*_):
    raise OSError(errno.ENOSPC, "No space left on device", "/full")


HOLD = """
import sys
from pathlib import Path
from recap import ledger
with ledger.lease(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""


def test_a_living_run_and_a_dead_one_are_told_apart(rehearsal, tmp_path):
    jobs.run(rehearsal(), runner="loop", limit=3)
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        run.stdout.readline()
        found = status(tmp_path / "out")
        assert (found.state, found.holder["pid"], found.holder["epoch"]) == ("running", run.pid, 2)
        run.kill()
    dead = status(tmp_path / "out")
    assert (dead.state, dead.holder) == ("died", found.holder)
    console = Console(file=io.StringIO(), width=120)
    print_status(dead, console)
    assert f"pid {run.pid} on" in console.file.getvalue() and "remaining" in console.file.getvalue()


def test_the_age_of_the_last_commit(rehearsal, tmp_path):
    jobs.run(rehearsal(), runner="loop")
    (fragment,) = (tmp_path / "out").glob("fragments/*/*.parquet")
    os.utime(fragment, (time.time() - 500,) * 2)
    assert 499 < status(tmp_path / "out").last_commit_s < 560


def test_translations_are_commits_too(rehearsal, tmp_path):
    jobs.run(rehearsal("translation.languages=[zh]", "translation.engine=rehearsal"), runner="loop")
    captions, translations = ((tmp_path / "out").glob(f"{folder}/*/*.parquet") for folder in ("fragments", "overlays"))
    for age, fragments in ((900, captions), (500, translations)):
        for fragment in fragments:
            os.utime(fragment, (time.time() - age,) * 2)
    assert 499 < status(tmp_path / "out").last_commit_s < 560


def test_a_run_that_has_only_begun_has_empty_books(tmp_path):
    with pytest.raises(ValueError, match="no run has begun"):
        status(tmp_path)
    ledger.write_recipe(tmp_path, "folder:/a", ledger.Keys({"caption_key": {}}), {})
    found = status(tmp_path)
    assert (found.state, found.books["clips"], found.last_commit_s, found.generation) == ("stopped", 0, None, None)


def test_looking_survives_fragments_that_are_merged_meanwhile(rehearsal, tmp_path, monkeypatch):
    jobs.run(rehearsal(), runner="loop")
    (fragment,) = (tmp_path / "out").glob("fragments/*/*.parquet")
    merged, looks, real = fragment.read_bytes(), [], type(fragment).read_bytes

    def vanishes_once(path):
        if path.suffix != ".parquet":
            return real(path)
        looks.append(path)
        if len(looks) == 1:
            raise FileNotFoundError(fragment)
        return merged

    snapshot = ledger.read_snapshot(tmp_path / "out")
    monkeypatch.setattr(ledger, "read_snapshot", lambda output: snapshot)
    monkeypatch.setattr(type(fragment), "read_bytes", vanishes_once)
    assert status(tmp_path / "out").books["captioned"] == 6 and len(looks) == 2
