from __future__ import annotations

import json
import os
import shutil
import signal
import tarfile

import pyarrow.parquet as pq
import pytest

from recap import jobs, prepared, work
from recap.cli.runs import _finish
from recap.engines import rehearsal as rehearsal_engine
from recap.graph import stages, translating
from recap.graph.stages import WorkerLost
from recap.planning import plan
from recap.report.progress import Progress
from recap.status import status
from recap.translation import Translation, TranslationSettings, source_sha
from recap.translation.rehearsal import RehearsalTranslator
from recap.verification import verify

CHINESE = ("translation.languages=[zh]", "translation.engine=rehearsal", "review.repair=false")


@pytest.fixture
def run(rehearsal, tmp_path):
    """A function that runs the pipeline with overrides, and gives its summary and captioned rows by file name."""

    def run(*overrides):
        summary = jobs.run(rehearsal(*overrides), runner="loop")
        assert verify(tmp_path / "out") == []
        paths = [shard["path"] for shard in summary.shards if shard["kind"] == "parquet"]
        return summary, {
            row["uri"]: row for path in paths for row in pq.read_table(tmp_path / "out" / path).to_pylist()
        }

    return run


def test_every_caption_has_its_translation_behind_it(run, tmp_path):
    summary, rows = run(*CHINESE, "prompt.instruction=[dense, short]")
    assert summary.complete and summary.translated == {"zh": 6}
    for row in rows.values():
        assert [(c["prompt"], c["language"]) for c in row["captions"]] == [
            ("dense", "en"), ("short", "en"), ("dense", "zh"), ("short", "zh")
        ]  # fmt: skip
        for caption, translation in zip(row["captions"][:2], row["captions"][2:], strict=True):
            assert translation["source_sha"] == source_sha(caption["text"]) and not caption["source_sha"]
            assert translation["model"] == "rehearsal" and translation["text"].endswith("。")
        assert row["caption"] == row["captions"][0]["text"]


def test_a_limit_bounds_what_is_translated_too(run, rehearsal):
    run("review.repair=false")
    assert plan(rehearsal(*CHINESE), limit=2).to_translate == {"zh": 2}
    first = jobs.run(rehearsal(*CHINESE), runner="loop", limit=2)
    assert (first.complete, first.translated, first.untranslated) == (True, {"zh": 2}, {"zh": 4})
    assert jobs.run(rehearsal(*CHINESE), runner="loop").translated == {"zh": 6}


def test_languages_stand_in_the_order_of_the_settings(run, tmp_path):
    _, rows = run("translation.languages=[zh, fr]", *CHINESE[1:])
    assert {tuple(caption["language"] for caption in row["captions"]) for row in rows.values()} == {("en", "zh", "fr")}
    recipe = tmp_path / "out/recipe.json"
    written = recipe.read_text()
    recipe.write_text(written.replace('"zh",\n        "fr"', '"fr",\n        "zh"'))  # of a run that cut no shards
    assert recipe.read_text() != written and verify(tmp_path / "out") == []


def test_tars_hold_them_as_utf_8_under_their_language(run, tmp_path):
    summary, rows = run(*CHINESE)
    tars = [tmp_path / "out" / shard["path"] for shard in summary.shards if shard["kind"] == "webdataset"]
    row = next(row for row in rows.values() if row["clip_id"] == summary.shards[-1]["last_clip_id"])
    with tarfile.open(tars[-1]) as tar:
        read = {name: tar.extractfile(f"{row['clip_id']}.{name}").read().decode() for name in ("txt", "zh.txt", "json")}
    chinese = row["captions"][1]["text"]
    assert read["zh.txt"] == chinese and read["txt"] == row["caption"] and chinese in read["json"]
    assert json.loads(read["json"])["captions"][1]["language"] == "zh"


def test_a_language_is_added_to_a_finished_output_and_no_engine_is_opened(run, monkeypatch):
    before, rows = run("review.repair=false")

    def never(*_, **__):
        raise AssertionError("the captioner was opened")

    monkeypatch.setattr(stages, "open_captioner", never)
    after, translated = run(*CHINESE)
    assert after.captioned_now == 0 and after.generation != before.generation
    assert all(translated[uri]["captions"][0] == row["captions"][0] for uri, row in rows.items())
    other, again = run(*CHINESE, "translation.max_new_tokens=4")
    assert all(again[uri]["captions"][1]["finish_reason"] == "length" for uri in rows)
    assert run(*CHINESE)[0].generation == after.generation
    assert run("review.repair=false")[0].generation == before.generation
    assert other.generation != after.generation


def test_a_language_that_is_lacking_is_told_before_and_meanwhile(run, rehearsal, tmp_path, monkeypatch, capsys):
    run("review.repair=false")
    planned = plan(rehearsal(*CHINESE))
    assert (planned.to_do, planned.to_translate, planned.stale) == (0, {"zh": 6}, {})

    def refuses(stage, clips):
        raise WorkerLost("no")

    with monkeypatch.context() as patch:
        patch.setattr(translating.TranslateStage, "translate", refuses)
        stopped = jobs.run(rehearsal(*CHINESE), runner="loop")
    found = status(tmp_path / "out")
    assert (stopped.complete, stopped.untranslated) == (False, {"zh": 6})
    assert (found.state, found.untranslated) == ("stopped", {"zh": 6})
    with pytest.raises(SystemExit):
        _finish(lambda: stopped, as_json=True)
    assert "ended with 0 clips remaining and 6 not yet in zh" in capsys.readouterr().err
    run(*CHINESE)
    assert (status(tmp_path / "out").state, status(tmp_path / "out").untranslated) == ("complete", {})


def test_a_clip_that_every_translator_dies_of_holds_up_no_other(run, rehearsal, monkeypatch):
    _, rows = run("review.repair=false")
    first, translate = min(row["ordinal"] for row in rows.values()), translating.TranslateStage.translate

    def dies(stage, clips):
        if any(clip.ordinal == first for clip, _ in clips):
            raise WorkerLost("it died")
        return translate(stage, clips)

    monkeypatch.setattr(translating.TranslateStage, "translate", dies)
    assert jobs.run(rehearsal(*CHINESE), runner="loop").untranslated == {"zh": 1}


def test_a_stop_begins_no_further_graph(run, rehearsal, monkeypatch):
    run("review.repair=false")
    monkeypatch.setattr(work, "CLIPS_AN_ACTOR", 2)
    opened, translate = [], translating.TranslateStage.translate

    def stops(stage, clips):
        opened.append(stage)
        os.kill(os.getpid(), signal.SIGTERM)
        return translate(stage, clips)

    with monkeypatch.context() as patch:
        patch.setattr(translating.TranslateStage, "translate", stops)
        stopped = jobs.run(rehearsal(*CHINESE), runner="loop")
    assert len(opened) == 1 and stopped.stopped_by == signal.SIGTERM and 4 <= stopped.untranslated["zh"] < 6
    assert run(*CHINESE)[0].complete


def test_a_run_that_died_between_blocks_goes_on(run, monkeypatch, tmp_path):
    wanted = run(*CHINESE)[0].generation
    shutil.rmtree(tmp_path / "out")
    translate, calls = translating.TranslateStage.translate, []

    def dies(stage, clips):
        calls.append(len(clips))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return translate(stage, clips)

    with monkeypatch.context() as patch:
        patch.setattr(translating.TranslateStage, "translate", dies)
        with pytest.raises(KeyboardInterrupt):
            run(*CHINESE)
    monkeypatch.setattr(
        translating.TranslateStage, "translate", lambda stage, clips: calls.append(0) or translate(stage, clips)
    )
    summary, _ = run(*CHINESE)
    assert summary.generation == wanted and summary.captioned_now == 0
    assert calls.count(0) == 4


def test_translations_are_judged_anew_too_and_follow_a_retried_caption(run, tmp_path):
    _, rows = run(*CHINESE)
    loose, judged = run(*CHINESE, "review.length_ratio=[0.01, 99]")
    assert loose.captioned_now == 0 and loose.translated == {"zh": 6}
    before, after = ({f for row in some.values() for f in row["captions"][1]["flags"]} for some in (rows, judged))
    assert after <= before
    clip = next(iter(rows.values()))["clip_id"]
    assert jobs.retry(tmp_path / "out", clips=[clip], runner="loop").generation == loose.generation


def test_what_a_translator_was_asked_is_looked_for_in_every_judgement(run, monkeypatch):
    asked = "Translate it into German and answer with the translation alone."
    monkeypatch.setattr(TranslationSettings, "asked", lambda settings, language, text="": asked)
    monkeypatch.setattr(RehearsalTranslator, "_one", lambda *_: Translation(f"Hund. {asked}", "stop", 9))
    for judged in ((), ("review.loop_words=7",)):
        _, rows = run(*CHINESE, *judged)
        assert all("echo" in row["captions"][1]["flags"] for row in rows.values())


def test_a_caption_that_was_lost_and_reads_otherwise_now_is_translated_anew(run, tmp_path, monkeypatch):
    run(*CHINESE)
    (fragment,) = (tmp_path / "out/fragments").rglob("*.parquet")
    fragment.write_bytes(fragment.read_bytes()[:-9])
    said = rehearsal_engine._text
    monkeypatch.setattr(rehearsal_engine, "_text", lambda request: said(request)[::-1])
    summary, rows = run(*CHINESE)
    assert summary.complete and summary.translated == {"zh": 6}
    for row in rows.values():
        caption, translation = row["captions"]
        assert translation["source_sha"] == source_sha(caption["text"])


def test_translations_of_captions_that_are_lost_under_a_run_are_not_judged_by_others(run, rehearsal, corpus, tmp_path):
    run(*CHINESE)
    (fragment,) = (tmp_path / "out/fragments").rglob("*.parquet")
    (corpus / "zzz.mp4").touch()

    class Damages(Progress):
        def add(self, status):
            fragment.write_bytes(b"PAR1")

    strict = (*CHINESE, "review.length_ratio=[0.9, 1.1]")
    lost = jobs.run(rehearsal(*strict, "ray.rounds=1"), runner="loop", progress=Damages())
    assert (lost.captioned, lost.remaining) == (0, 6)
    again = run(*strict)[0].generation
    shutil.rmtree(tmp_path / "out")
    assert run(*strict)[0].generation == again


def test_so_is_one_that_was_lost_under_a_run_and_made_again_in_its_next_round(
    run, rehearsal, corpus, tmp_path, home, monkeypatch
):
    run(*CHINESE)
    (fragment,) = (tmp_path / "out/fragments").rglob("*.parquet")
    shutil.copy(home / "pipelines/demo/clips/realshort.mp4", corpus / "zzz.mp4")

    class Tears(Progress):
        def add(self, *_) -> None:
            if fragment.exists():
                fragment.write_bytes(b"PAR1")

    said = rehearsal_engine._text
    monkeypatch.setattr(rehearsal_engine, "_text", lambda request: said(request)[::-1])
    summary = jobs.run(rehearsal(*CHINESE), runner="loop", progress=Tears())
    assert (summary.complete, summary.translated) == (True, {"zh": 7})


def test_a_retry_that_would_translate_everything_anew_is_refused(run, tmp_path, monkeypatch):
    _, rows = run(*CHINESE)
    clip = next(iter(rows.values()))["clip_id"]
    monkeypatch.setattr(prepared, "translator_digest", lambda _: "other weights")
    with pytest.raises(ValueError, match=r"no longer gives what its texts were made with \(weights\)"):
        jobs.retry(tmp_path / "out", clips=[clip], runner="loop")
    assert not list((tmp_path / "out").rglob("*.retry"))


@pytest.mark.ray
def test_on_ray_it_is_the_same(run, rehearsal, ray_session, tmp_path):
    wanted = run(*CHINESE)[0].generation
    shutil.rmtree(tmp_path / "out")
    assert jobs.run(rehearsal(*CHINESE)).generation == wanted


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("translation.languages=[zh]",), "translation.checkpoint is missing"),
        (("translation.languages=[english]", "translation.engine=llm"), "no code of another language"),
        (("translation.languages=[zh]", "translation.engine=llm"), "rehearsal has none"),
        (
            ("translation.languages=[zh]", "translation.checkpoint=nowhere"),
            "there is no folder nowhere, and it is no hub id",
        ),
        (("translation.languages=[de]", "translation.checkpoint=pocket"), "the model has one target, zh, not de"),
        ((*CHINESE, "translation.actors=1000", "translation.gpus_per_actor=1"), "need 1000 GPUs"),
        (
            (*CHINESE, "translation.gpus_per_actor=2"),
            "translation.gpus_per_actor must be a number .at least 0 and at most 1.",
        ),
    ],
)
def test_what_cannot_be_translated_is_refused(rehearsal, overrides, message):
    with pytest.raises(ValueError, match=message):
        jobs.run(rehearsal(*overrides), runner="loop")


def test_the_account_tells_translating_from_starting(run):
    speed = run(*CHINESE)[0].speed
    assert speed.translating_s > 0
    parts = speed.starting_s + speed.calibrating_s + speed.working_s + speed.translating_s
    assert parts + speed.planning_s + speed.finishing_s == pytest.approx(speed.seconds)
    assert run("review.repair=false", "engine.max_new_tokens=11")[0].speed.translating_s == 0
