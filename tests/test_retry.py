"""What a retry does again, from the output's own recipe: what it marked, and nothing else."""

from __future__ import annotations

import errno
import json
import os
import shutil

import pyarrow.parquet as pq
import pytest

from recap import jobs, ledger
from recap.graph import translating
from recap.report.progress import Progress
from recap.status import status


@pytest.fixture
def run(rehearsal, corpus):
    """A function that runs the pipeline, with overrides, over six good clips and an empty file."""
    (corpus / "zero.mp4").touch()
    return lambda *overrides, **options: jobs.run(rehearsal(*overrides), runner="loop", **options)


class Watches(Progress):
    """What became of the clips that a run did."""

    def __init__(self):
        super().__init__()
        self.seen: list[str] = []

    def add(self, status: str) -> None:
        self.seen.append(status)


def captioned(output) -> list[dict]:
    paths = sorted((output / "shards").rglob("parquet/*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def test_a_retry_captions_again_what_was_quarantined_for_a_reason_and_nothing_else(run, corpus, tmp_path, deliverable):
    (corpus / "text.mp4").write_text("this is no video\n" * 50)
    run()
    before = deliverable(tmp_path / "out")
    for reason, clips in (("probe", 2), ("empty_file", 1), ("probe/empty_file", 1)):
        watches = Watches()
        summary = jobs.retry(tmp_path / "out", reason=reason, runner="loop", progress=watches)
        assert watches.seen == clips * ["quarantined"]
        assert (summary.captioned, summary.quarantined, summary.complete) == (6, 2, True)
        assert deliverable(tmp_path / "out") == before


def test_a_retry_takes_a_single_clip_by_its_id(run, tmp_path):
    run()
    clip, watches = captioned(tmp_path / "out")[0]["clip_id"], Watches()
    summary = jobs.retry(tmp_path / "out", clips=[clip], runner="loop", progress=watches)
    assert watches.seen == ["captioned"] and summary.captioned == 6


def test_a_retry_takes_all_clips_of_a_file_by_its_address(run, corpus, tmp_path):
    (corpus / "spans.csv").write_text("path,s,e\nzero.mp4,,\nlong.mp4,0,1\nlong.mp4,1,2\n")
    shutil.copy(sorted(corpus.glob("*.mp4"))[0], corpus / "long.mp4")
    run(f"corpus={{kind: manifest, path: {corpus}/spans.csv, start_column: s, end_column: e}}")
    watches = Watches()
    jobs.retry(
        tmp_path / "out", clips=["long.mp4", captioned(tmp_path / "out")[0]["clip_id"]], runner="loop", progress=watches
    )
    assert watches.seen == ["captioned"] * 2
    (corpus / "spans.csv").write_text("path,s,e\nzero.mp4,,\nlong.mp4,1,2\n")
    run(f"corpus={{kind: manifest, path: {corpus}/spans.csv, start_column: s, end_column: e}}")
    watches = Watches()
    jobs.retry(tmp_path / "out", clips=["long.mp4"], runner="loop", progress=watches)
    assert watches.seen == ["captioned"], "the span that is left"
    with pytest.raises(ValueError, match=r"the corpus has no clip gone\.mp4, other\.mp4$"):
        jobs.retry(tmp_path / "out", clips=["other.mp4", "long.mp4", "gone.mp4"], runner="loop")


def test_a_retry_says_what_the_corpus_has_no_more(run, corpus, tmp_path):
    run()
    row = captioned(tmp_path / "out")[0]
    (corpus / row["uri"]).unlink()
    run()
    with pytest.raises(ValueError, match=f"the corpus has no clip {row['clip_id']}"):
        jobs.retry(tmp_path / "out", clips=[row["clip_id"]], runner="loop")


def test_what_a_retry_marks_is_in_the_log(run, tmp_path):
    run()
    jobs.retry(tmp_path / "out", reason="probe", runner="loop")
    assert "retry 2: 1 clips count as missing" in (tmp_path / "out/run.log").read_text()


def test_a_retry_passes_over_a_stray_file_among_the_overlays(run, tmp_path):
    run()
    (tmp_path / "out/overlays").mkdir()
    (tmp_path / "out/overlays/.DS_Store").touch()
    assert jobs.retry(tmp_path / "out", reason="probe", runner="loop").complete


def test_a_retry_leaves_what_was_not_asked_for_to_a_run(run, tmp_path, monkeypatch):
    chinese = ("translation.languages=[zh]", "translation.engine=rehearsal")
    with monkeypatch.context() as patch:
        patch.setattr(translating.TranslateStage, "translate", lambda stage, clips: 0)
        run(*chinese, limit=2)
    clip = captioned(tmp_path / "out")[0]["clip_id"]
    summary = jobs.retry(tmp_path / "out", clips=[clip], runner="loop")
    assert (summary.captioned, summary.remaining, summary.complete) == (2, 5, True)
    assert (summary.translated, summary.untranslated) == ({"zh": 1}, {"zh": 1})


def test_a_retry_that_dies_is_taken_up_by_any_later_run(run, tmp_path, monkeypatch):
    def dies(*_, **__):
        raise KeyboardInterrupt

    run()
    monkeypatch.setattr(jobs, "run", dies)
    with pytest.raises(KeyboardInterrupt):
        jobs.retry(tmp_path / "out", reason="probe")
    monkeypatch.undo()
    assert status(tmp_path / "out").books["remaining"] == 1
    assert run().quarantined == 1


def test_a_retry_that_cannot_be_written_says_so(run, tmp_path, monkeypatch):
    run()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ledger.OutputFailed, match="No space left"):
        jobs.retry(tmp_path / "out", reason="probe", runner="loop")


def test_a_retry_of_nothing_is_refused_and_marks_nothing(run, tmp_path):
    run()
    with pytest.raises(ValueError, match="the reasons there are: probe/empty_file"):
        jobs.retry(tmp_path / "out", reason="translate", runner="loop")
    with pytest.raises(ValueError, match="the corpus has no clip abc"):
        jobs.retry(tmp_path / "out", clips=["abc"], runner="loop")
    with pytest.raises(ValueError, match="no run has begun"):
        jobs.retry(tmp_path / "nothing", reason="probe", runner="loop")
    assert not list((tmp_path / "out").rglob("*.retry"))


PROMPTS = "prompt.instruction={main: Say what happens here., brief: Say it in one line.}"


def test_a_retry_asks_the_prompts_in_their_order(run, tmp_path):
    run(PROMPTS)
    summary = jobs.retry(tmp_path / "out", reason="probe", runner="loop")
    assert (summary.captioned, summary.captioned_now) == (6, 0)
    assert {row["captions"][0]["prompt"] for row in captioned(tmp_path / "out")} == {"main"}


def test_a_retry_that_would_caption_every_clip_anew_is_refused(run, tmp_path):
    run(PROMPTS)
    recipe = tmp_path / "out/recipe.json"
    recipe.write_text(json.dumps(json.loads(recipe.read_text()), sort_keys=True))
    with pytest.raises(ValueError, match=r"\(prompt\): first `recap run`"):
        jobs.retry(tmp_path / "out", reason="probe", runner="loop")
    assert not list((tmp_path / "out").rglob("*.retry"))
    assert run(PROMPTS).captioned_now == 0
    assert jobs.retry(tmp_path / "out", reason="probe", runner="loop").captioned_now == 0


def test_an_output_finds_its_corpus_from_any_folder(run, corpus, tmp_path, monkeypatch):
    (tmp_path / "elsewhere/clips").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    run("corpus.path=clips", "output.path=out")
    monkeypatch.chdir("elsewhere")
    assert jobs.root_of(tmp_path / "out") == corpus
    assert jobs.retry(tmp_path / "out", reason="probe", runner="loop").quarantined == 1
