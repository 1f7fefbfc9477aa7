from __future__ import annotations

import io
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from recap import jobs
from recap.forecast import foresee
from recap.pipeline import load_pipeline
from recap.planning import list_corpus, plan
from recap.report.plan import print_plan


def shown(planned) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_plan(planned, console)
    return console.file.getvalue()


def test_a_first_plan_finds_everything_new_and_writes_nothing(rehearsal, tmp_path):
    planned = plan(rehearsal())
    assert (planned.clips, planned.new, planned.to_do, sum(planned.done.values())) == (6, 6, 6, 0)
    assert planned.stale == {} and planned.settings == {}
    assert plan(rehearsal(), limit=3).to_do == 3
    assert not (tmp_path / "out").exists()


def test_growth_changed_files_and_vanished_ones_are_told_apart(rehearsal, corpus, tmp_path):
    (corpus / "bad.mp4").touch()
    jobs.run(rehearsal(), runner="loop")
    first, second, third = sorted(corpus.glob("*-*.mp4"))[:3]
    shutil.copy(first, corpus / "new.mp4")
    os.utime(second)
    third.unlink()
    before = sorted((tmp_path / "out").rglob("*"))
    planned = plan(rehearsal())
    assert (planned.clips, planned.new, planned.changed, planned.vanished, planned.returned) == (7, 1, 1, 1, 0)
    assert planned.done == {"captioned": 4, "quarantined": 1, "filtered": 0} and planned.to_do == 2
    assert planned.reasons == {"probe/empty_file": 1}
    assert sorted((tmp_path / "out").rglob("*")) == before
    summary = jobs.run(rehearsal(), runner="loop")
    assert (summary.captioned_now, summary.vanished) == (planned.to_do, 1)


def test_a_corpus_that_lies_elsewhere_since_is_taken_for_the_same_when_told(rehearsal, corpus, tmp_path, deliverable):
    jobs.run(rehearsal(), runner="loop")
    before = deliverable(tmp_path / "out")
    corpus.rename(tmp_path / "moved")
    moved = rehearsal(f"corpus.path={tmp_path / 'moved'}")
    for refused in (plan, lambda pipeline: jobs.run(pipeline, runner="loop")):
        with pytest.raises(ValueError, match=r"belongs to the corpus .*add --corpus-moved where that has become this"):
            refused(moved)
    listing = list_corpus(moved, corpus_moved=True)
    planned = plan(moved, listing)
    assert (planned.clips, planned.new, planned.changed, planned.to_do) == (6, 0, 0, 0)
    assert not isinstance(foresee(moved, 6, 1, listing), str)
    assert jobs.run(moved, runner="loop", corpus_moved=True).captioned_now == 0
    assert deliverable(tmp_path / "out") == before
    assert jobs.run(moved, runner="loop").complete and jobs.root_of(tmp_path / "out") == tmp_path / "moved"


def test_a_corpus_that_cannot_be_the_one_that_moved_leaves_the_output_as_it_is(rehearsal, corpus, tmp_path):
    (corpus / "m.csv").write_text("path,x\n" + "".join(f"{path.name},1\n" for path in sorted(corpus.glob("*.mp4"))))
    own = rehearsal(f"corpus={{kind: manifest, path: {corpus}/m.csv}}")
    jobs.run(own, runner="loop")
    before = (tmp_path / "out/recipe.json").read_text()
    (corpus / "other.csv").write_text("path\nelsewhere/a.mp4\n")
    pq.write_table(pa.table({"path": ["a.mp4"], "x": [[1]]}), corpus / "odd.parquet")
    for name, said in (("other.csv", "has none of the clips that .*out has"), ("odd.parquet", "'x' held int64")):
        moved = rehearsal(f"corpus={{kind: manifest, path: {corpus}/{name}}}")
        with pytest.raises(ValueError, match=said):
            jobs.run(moved, runner="loop", corpus_moved=True)
        with pytest.raises(ValueError, match=said):
            plan(moved, list_corpus(moved, corpus_moved=True))
    assert (tmp_path / "out/recipe.json").read_text() == before
    assert jobs.run(own, runner="loop").complete


def test_clips_without_a_file_are_counted_and_spans_with_whole_files_told(rehearsal, corpus):
    lines = ["path,s,e", "gone.mp4,,", *(f"{path.name},0,1" for path in sorted(corpus.iterdir())[:2])]
    (corpus / "m.csv").write_text("\n".join(lines))
    manifest = f"corpus={{kind: manifest, path: {corpus}/m.csv, start_column: s, end_column: e}}"
    planned = plan(rehearsal(manifest))
    assert planned.missing == 1 and planned.passed_over == ()
    assert ["without", "a", "file", "1"] in [line.split() for line in shown(planned).splitlines()]
    (said,) = plan(rehearsal(manifest, "output.include_video=true")).passed_over
    assert said == "output.include_video: each of the 2 clips that are spans comes with the whole file that it is in"


def test_what_a_plan_and_a_run_pass_over_is_said_once(rehearsal, corpus, tmp_path, caplog):
    (corpus / "raw.y4m").touch()
    planned = plan(rehearsal())
    assert not isinstance(foresee(rehearsal(), 6, 1), str)
    assert planned.clips == 6 and ".y4m 1" in shown(planned) and "passed over" not in caplog.text
    jobs.run(rehearsal(), runner="loop")
    for text in (caplog.text, (tmp_path / "out/run.log").read_text()):
        assert text.count("passed over") == 1 and ".y4m 1" in text


@pytest.mark.parametrize(
    ("override", "keys", "setting"),
    [
        ("frames.count=8", ["view_key", "caption_key", "review_key"], "frames.count"),
        ("prompt.instruction=short", ["caption_key", "review_key"], "prompt"),
        ("decode.decoder=fast", ["view_key", "caption_key", "review_key"], "decode.decoder"),
        ("engine.max_new_tokens=8", ["caption_key", "review_key"], "engine.max_new_tokens"),
    ],
)
def test_the_settings_that_make_captions_stale_are_named(rehearsal, override, keys, setting):
    jobs.run(rehearsal(), runner="loop")
    planned = plan(rehearsal(override))
    assert list(planned.stale) == keys and planned.to_do == 6
    assert list(planned.stale[keys[0]]) == [setting]
    assert list(planned.settings) == [override.split("=")[0]]
    text = shown(planned)
    assert f"{keys[0]} changed ({setting})" in text and "captioned again" in text


@pytest.mark.parametrize("change", ["frames.count=8", "prompt.instruction=short", "translation.max_new_tokens=9"])
def test_going_back_to_earlier_settings_is_told_from_a_change(rehearsal, change):
    chinese = ("translation.languages=[zh]", "translation.engine=rehearsal")
    jobs.run(rehearsal(*chinese), runner="loop")
    jobs.run(rehearsal(*chinese, change), runner="loop")
    planned = plan(rehearsal(*chinese))
    assert (planned.to_do, planned.to_translate) == (0, {"zh": 0}) and planned.stale
    text = shown(planned)
    assert "had a run before" in text and "captioned again" not in text and "translated again" not in text


def test_quantised_captions_are_others_and_cards_are_not(corpus, tmp_path):
    def caption_key(*overrides):
        path = tmp_path / "pipeline.yaml"
        sections = f"corpus: {{path: {corpus}}}", "model: {checkpoint: pocket}", f"output: {{path: {tmp_path / 'o'}}}"
        path.write_text("\n".join(sections))
        return plan(load_pipeline(path, ["engine.gpus_per_actor=1", *overrides])).keys["caption_key"]

    served = caption_key("engine.kind=vllm")
    assert served == caption_key("engine.kind=vllm", "engine.gpus_per_actor=2", "engine.merged_path=/elsewhere")
    assert len({served, caption_key(), caption_key("engine.kind=vllm", "engine.quantization=fp8")}) == 3


def test_settings_in_no_key_rerun_nothing(rehearsal):
    jobs.run(rehearsal(), runner="loop")
    planned = plan(rehearsal("output.rows_per_shard=2"))
    assert (planned.stale, planned.to_do) == ({}, 0)
    assert planned.settings == {"output.rows_per_shard": (4, 2)}
    assert "no key changed" in shown(planned)
    assert "since the last run" not in shown(plan(rehearsal()))


def test_a_relative_path_is_no_other_setting(rehearsal, home, tmp_path, monkeypatch):
    checkpoint = home / "pipelines/demo/random-pllava"
    monkeypatch.chdir(tmp_path)
    relative = f"model.checkpoint={os.path.relpath(checkpoint)}"
    jobs.run(rehearsal("corpus.path=clips", "output.path=out", relative), runner="loop")
    planned = plan(rehearsal(f"model.checkpoint={checkpoint}"))
    assert (planned.stale, planned.settings) == ({}, {})


def test_what_a_run_would_refuse_is_refused(rehearsal, corpus):
    jobs.run(rehearsal(), runner="loop")
    shutil.copytree(corpus, corpus.parent / "other")
    with pytest.raises(ValueError, match="belongs to the corpus"):
        plan(rehearsal(f"corpus.path={corpus.parent / 'other'}"))


@pytest.mark.parametrize(
    ("overrides", "is_told"),
    [
        (("engine.kind=transformers", "model.checkpoint=owner/pllava"), True),
        (("engine.kind=transformers", "model.checkpoint=owner/pllava", "engine.gpus_per_actor=1"), False),
        (("engine.kind=transformers", "model.checkpoint=owner/pllava", "ray.address=auto"), False),
        (("engine.kind=transformers", "model.checkpoint=pocket"), False),
        ((), False),
    ],
)
def test_a_gpu_that_would_stand_idle_is_told(rehearsal, tmp_path, monkeypatch, overrides, is_told):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / name).touch()
    monkeypatch.setattr("recap.limits.SYSTEM", tmp_path)
    (said,) = list_corpus(rehearsal(*overrides)).passed_over or ("",)
    assert ("this machine has 2 GPU(s): engine.gpus_per_actor=1" in said) == is_told
