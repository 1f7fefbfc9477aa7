from __future__ import annotations

import json
import shutil

import pyarrow.parquet as pq
import pytest

from recap import jobs
from recap.engines import rehearsal as rehearsal_engine
from recap.status import status
from recap.translation import source_sha
from recap.verification import verify

CHINESE = ("translation.languages=[zh]", "translation.engine=rehearsal")


@pytest.fixture
def run(rehearsal, tmp_path):
    """A function that runs the pipeline with overrides, and gives its summary and rows by file name."""

    def run(*overrides):
        summary = jobs.run(rehearsal(*overrides), runner="loop")
        assert verify(tmp_path / "out") == []
        paths = [shard["path"] for shard in summary.shards if shard["kind"] in ("parquet", "quarantine")]
        rows = [row for path in paths for row in pq.read_table(tmp_path / "out" / path).to_pylist()]
        return summary, {row["uri"]: row for row in rows}

    return run


def fragments(tmp_path):
    return {path: path.stat().st_mtime_ns for path in (tmp_path / "out/fragments").rglob("*.parquet")}


def test_a_caption_that_was_cut_off_is_repaired_and_its_row_says_so(run):
    summary, rows = run("prompt.instruction=short", "review.repair_length=8")
    for row in rows.values():
        (caption,) = row["captions"]
        assert "truncated" in caption["flags_before"] and caption["repairs"] == 1 and len(caption["scores"]) == 2
    assert any(row["captions"][0]["output_tokens"] > 12 for row in rows.values())
    assert summary.flags["before"]["truncated"] == 6 > summary.flags["after"].get("truncated", 0)


def test_without_repair_captions_keep_their_flags(run):
    summary, rows = run("prompt.instruction=short", "review.repair=false")
    assert all(row["captions"][0]["repairs"] == 0 for row in rows.values())
    assert summary.flags["before"]["truncated"] == summary.flags["after"]["truncated"] == 6


def test_another_threshold_judges_stored_captions_anew_and_makes_none(run, tmp_path):
    first, rows = run("review.repair=false")
    assert all("too_short" in row["captions"][0]["flags"] for row in rows.values())
    before = fragments(tmp_path)
    second, again = run("review.repair=false", "review.words={dense: [3, 400]}")
    assert second.captioned_now == 0 and fragments(tmp_path) == before
    assert second.generation != first.generation
    for uri, row in again.items():
        assert row["caption"] == rows[uri]["caption"] and row["review_key"] != rows[uri]["review_key"]
        assert "too_short" not in row["captions"][0]["flags"]
        assert row["captions"][0]["scores"][0] > rows[uri]["captions"][0]["scores"][0]
    assert run("review.repair=false")[0].generation == first.generation


def test_every_row_has_the_review_key_that_it_is_delivered_under(run, corpus, rehearsal, tmp_path):
    (corpus / "zero.mp4").touch()
    run("review.repair=false")
    overrides = ("review.repair=false", "review.words={dense: [3, 400]}")
    summary, rows = run(*overrides)
    assert len({row["review_key"] for row in rows.values()}) == 1
    assert (
        jobs.run(rehearsal(*overrides, f"output.path={tmp_path}/fresh"), runner="loop").generation == summary.generation
    )


def test_verdicts_that_were_lost_are_made_again(run, tmp_path):
    overrides = ("review.repair=false", "review.words={dense: [3, 400]}")
    run("review.repair=false")
    wanted = run(*overrides)[0].generation
    (overlay,) = (tmp_path / "out/overlays").rglob("*.parquet")
    overlay.write_bytes(overlay.read_bytes()[:-9])
    assert verify(tmp_path / "out")
    assert run(*overrides)[0].generation == wanted


def test_captions_that_are_made_again_are_judged_again(run, tmp_path):
    overrides = ("review.repair=false", "review.words={dense: [3, 400]}")
    run("review.repair=false")
    summary, rows = run(*overrides)
    clip = next(iter(rows.values()))["clip_id"]
    again = jobs.retry(tmp_path / "out", clips=[clip], runner="loop")
    assert again.captioned_now == 1 and again.generation == summary.generation
    assert verify(tmp_path / "out") == []


def test_a_caption_that_was_lost_and_reads_otherwise_now_is_delivered_as_it_reads(run, tmp_path, monkeypatch):
    overrides = ("review.repair=false", "review.words={dense: [3, 400]}")
    run("review.repair=false")
    _, before = run(*overrides)
    (fragment,) = (tmp_path / "out/fragments").rglob("*.parquet")
    fragment.unlink()
    said = rehearsal_engine._text
    monkeypatch.setattr(rehearsal_engine, "_text", lambda request: said(request)[::-1])
    _, after = run(*overrides)
    assert all(after[uri]["caption"] != row["caption"] for uri, row in before.items())


def test_what_fails_can_be_filtered_and_comes_back(run, tmp_path):
    kept, _ = run("review.repair=false")
    summary, rows = run("review.repair=false", "review.on_fail=filter")
    assert (summary.captioned, summary.filtered, summary.remaining, summary.captioned_now) == (0, 6, 0, 0)
    assert {row["status"] for row in rows.values()} == {"filtered"} and all(row["caption"] for row in rows.values())
    assert status(tmp_path / "out").books["filtered"] == 6
    assert run("review.repair=false")[0].generation == kept.generation


def test_near_duplicates_are_marked_behind_the_first(run, corpus, tmp_path):
    first = sorted(corpus.iterdir())[0]
    shutil.copy(first, corpus / "zz-copy.mp4")
    summary, rows = run("review.repair=false")
    flagged = [uri for uri, row in rows.items() if "near_duplicate" in row["captions"][0]["flags"]]
    assert flagged == ["zz-copy.mp4"] and rows["zz-copy.mp4"]["caption"] == rows[first.name]["caption"]
    assert summary.flags["after"]["near_duplicate"] == 1
    summary, _ = run("review.repair=false", "review.on_fail=filter", "review.tolerate=[truncated, too_short]")
    assert summary.filtered == 1
    assert not run("review.repair=false", "review.duplicate_similarity=0")[0].flags["after"].get("near_duplicate")


def test_openings_are_trimmed_in_shards_alone(run, monkeypatch, tmp_path):
    from recap.engines import front

    said = "The video shows a dog that runs over the grass and catches a ball"
    monkeypatch.setattr(front, "decode", lambda ids: f"{said} {len(ids)}.")
    _, rows = run("review.repair=false")
    assert all(row["caption"].startswith("The video shows") for row in rows.values())
    summary, trimmed = run("review.repair=false", "review.trim_openings=true")
    assert summary.captioned_now == 0
    assert all(row["caption"].startswith("A dog that runs") for row in trimmed.values())
    assert all(row["caption"] == row["captions"][0]["text"] for row in trimmed.values())
    _, both = run("review.repair=false", "review.trim_openings=true", *CHINESE)
    for row in both.values():
        caption, translation = row["captions"]
        assert translation["source_sha"] == source_sha(caption["text"]) and caption["text"].startswith("A dog")


def test_the_manifest_counts_flags(run, tmp_path):
    run("review.repair=false")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["flags"]["before"] == manifest["flags"]["after"] == {"too_short": 6, "truncated": 6}
