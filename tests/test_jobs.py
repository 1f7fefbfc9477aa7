from __future__ import annotations

import errno
import io
import json
import os
import shutil

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from recap import jobs, ledger, prepared
from recap.engines import RehearsalEngine, RehearsalFront
from recap.pipeline import Pipeline
from recap.report.last import last_report
from recap.report.progress import Progress
from recap.report.view import print_captions
from recap.status import status


def run(pipeline: Pipeline, **options) -> jobs.Summary:
    return jobs.run(pipeline, runner="loop", **options)


def records(output) -> dict[str, dict]:
    rows = [row for path in sorted((output / "shards").rglob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    return {row["uri"]: row for row in rows}


class Killed(BaseException):
    """Stands for a driver that dies."""


class DiesAfter(Progress):
    def __init__(self, clips: int):
        super().__init__()
        self.left = clips

    def add(self, *_, **__) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


def test_every_clip_gets_a_caption_and_the_books_balance(rehearsal, tmp_path):
    summary = run(rehearsal())
    assert (summary.clips, summary.captioned, summary.remaining, summary.complete) == (6, 6, 0, True)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["reconciliation"]["captioned"] == 6
    assert sum(s["rows"] for s in manifest["shards"] if s["kind"] == "parquet") == 6
    for row in records(tmp_path / "out").values():
        assert row["caption"] == row["captions"][0]["text"] != ""
        assert row["captions"][0]["model"] == "rehearsal" and len(row["frame_times_s"]) == 16
        assert (row["width"], row["height"], row["codec"]) == (192, 128, "h264")
    assert len({row["caption"] for row in records(tmp_path / "out").values()}) == 6


def test_clips_of_a_corpus_that_goes_out_of_sight_are_left_for_later(rehearsal, corpus, tmp_path, caplog):
    away = tmp_path / "away"

    class Unmounts(DiesAfter):
        def add(self, *_, **__) -> None:
            self.left -= 1
            if not self.left:
                corpus.rename(away)
                corpus.mkdir()

    summary = run(rehearsal("engine.batch_size=2"), progress=Unmounts(2))
    assert (summary.captioned, summary.quarantined, summary.remaining) == (2, 0, 4)
    assert "4 clips are left for later: nothing is to be seen of their folders" in caplog.text
    corpus.rmdir()
    away.rename(corpus)
    summary = run(rehearsal())
    assert (summary.captioned, summary.complete) == (6, True)


def test_a_file_that_goes_alone_is_quarantined(rehearsal, corpus):
    class Deletes(DiesAfter):
        def add(self, *_, **__) -> None:
            self.left -= 1
            if not self.left:
                sorted(corpus.iterdir())[-1].unlink()

    summary = run(rehearsal("engine.batch_size=2"), progress=Deletes(2))
    assert (summary.captioned, summary.remaining, summary.reasons) == (5, 0, {"probe/missing": 1})


def test_a_clip_that_an_engine_dies_of_is_quarantined_and_the_others_are_captioned(rehearsal, tmp_path, monkeypatch):
    step, request = RehearsalEngine.step, RehearsalFront.requests
    asked = []

    def requests(front, clips):
        asked.extend(clip_id for clip_id, _ in clips)
        return request(front, clips)

    def dies(engine):
        if any(request_id.startswith(asked[2]) for request_id in engine._requests):
            raise RuntimeError("an illegal memory access")
        return step(engine)

    monkeypatch.setattr(RehearsalFront, "requests", requests)
    monkeypatch.setattr(RehearsalEngine, "step", lambda engine: dies(engine) if len(asked) > 2 else step(engine))
    summary = run(rehearsal())
    assert (summary.captioned, summary.remaining, summary.complete) == (5, 0, True)
    assert summary.reasons == {"caption/engine_died": 1}


def test_copies_of_the_model_are_for_what_is_to_do(rehearsal, monkeypatch):
    asked = []
    monkeypatch.setattr(jobs, "_actors", lambda _prepared, clips, _runner: asked.append(clips) or 1)
    for limit in (2, None, None):
        jobs.run(rehearsal(), limit=limit, runner="loop")
    assert asked == [2, 4, 0]


def test_a_run_leaves_its_account_and_its_log(rehearsal, tmp_path):
    run(rehearsal())
    run(rehearsal())
    accounts = sorted((tmp_path / "out/telemetry").iterdir())
    assert [path.name for path in accounts] == ["000001.json", "000002.json"]
    assert [json.loads(path.read_text())["captioned_now"] for path in accounts] == [6, 0]
    log = (tmp_path / "out/run.log").read_text()
    assert "run 1: 6 captioned now, 0 remaining" in log and "run 2:" in log


def test_every_run_ends_with_an_account_of_its_speed(rehearsal, corpus, tmp_path):
    def reported() -> dict:
        return json.loads((tmp_path / "out/report/report.json").read_text())

    first = run(rehearsal())
    assert first.seconds == pytest.approx(first.speed.seconds, abs=0.01) and first.speed.finishing_s > 0
    assert reported()["speed"]["clips_per_s"] == first.speed.clips_per_s > 0
    again = run(rehearsal())
    assert again.speed is None and again.seconds > 0
    assert reported()["speed"]["clips_per_s"] == first.speed.clips_per_s  # of the last run that did something
    chinese = run(rehearsal("translation.languages=[zh]", "translation.engine=rehearsal"))
    assert chinese.speed.translating_s > 0 and reported()["speed"]["pools"] == {}
    for path in corpus.glob("*.mp4"):
        path.write_bytes(b"no video")
    bad = run(rehearsal(f"output.path={tmp_path}/bad"))
    assert bad.quarantined == 6 and bad.speed.clips_per_s == 0 and bad.speed.pools["decode"].workers == 1


def test_a_damaged_report_is_written_anew(rehearsal, tmp_path):
    run(rehearsal(), limit=1)
    report = tmp_path / "out/report/report.json"
    for damaged in (b"\0" * 100, b'["captioned"]', b'{"speed": 3}'):
        report.write_bytes(damaged)
        with pytest.raises(ledger.Damaged, match="run the same pipeline again"):
            last_report(tmp_path / "out")
        run(rehearsal(), limit=1)
        assert json.loads(report.read_text())["captioned"] == 1 and last_report(tmp_path / "out")


def test_what_a_dead_writer_left_half_written_is_swept_away(rehearsal, tmp_path):
    run(rehearsal())
    half = tmp_path / "out/fragments/.000001-x-000000.parquet.123.tmp"
    half.touch()
    run(rehearsal())
    assert not half.exists()


def test_running_again_does_nothing(rehearsal, tmp_path, deliverable):
    run(rehearsal())
    before = deliverable(tmp_path / "out")
    fragments = sorted((tmp_path / "out/fragments").rglob("*.parquet"))
    assert run(rehearsal()).captioned_now == 0
    assert deliverable(tmp_path / "out") == before
    assert sorted((tmp_path / "out/fragments").rglob("*.parquet")) == fragments


def test_a_run_that_is_broken_off_goes_on_to_the_same_bytes(rehearsal, tmp_path, deliverable):
    run(rehearsal(f"output.path={tmp_path / 'whole'}", "engine.batch_size=1"))
    with pytest.raises(Killed):
        run(rehearsal("engine.batch_size=1"), progress=DiesAfter(3))
    assert not (tmp_path / "out/manifest.json").exists()
    summary = run(rehearsal("engine.batch_size=3"))
    assert 0 < summary.captioned_now < 6
    assert deliverable(tmp_path / "out") == deliverable(tmp_path / "whole")


@pytest.mark.parametrize("step", ["write_generation", "write_manifest", "delete_other_generations"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_a_run_that_dies_around_any_step_of_its_end_goes_on_to_the_same_bytes(
    rehearsal, tmp_path, deliverable, monkeypatch, step, is_done
):
    run(rehearsal(f"output.path={tmp_path / 'whole'}"))
    run(rehearsal(), limit=3)
    room = jobs.ledger if step == "write_manifest" else jobs.shards
    real = getattr(room, step)

    def dies(*arguments, **options):
        if is_done:
            real(*arguments, **options)
        raise Killed

    monkeypatch.setattr(room, step, dies)
    with pytest.raises(Killed):
        run(rehearsal())
    monkeypatch.undo()
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert all((tmp_path / "out" / shard["path"]).is_file() for shard in manifest["shards"]), "readers see a hole"
    run(rehearsal())
    assert deliverable(tmp_path / "out") == deliverable(tmp_path / "whole")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("at", ["snapshot/", "fragments/", "manifest.json", "telemetry/", "recipe.json"])
def test_an_output_that_cannot_be_written_ends_the_run_and_a_later_one_goes_on(
    rehearsal, corpus, tmp_path, deliverable, monkeypatch, number, at
):
    run(rehearsal(f"output.path={tmp_path / 'whole'}"))
    run(rehearsal(), limit=2)
    if at == "snapshot/":
        shutil.copy(sorted(corpus.iterdir())[0], corpus / "zzz.mp4")
        run(rehearsal(f"output.path={tmp_path / 'whole'}"))
    replace = os.replace

    def fails(source, target):
        if at in str(target):
            raise OSError(number, os.strerror(number))
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(ledger.OutputFailed, match=os.strerror(number)):
        run(rehearsal("ray.rounds=2"))
    monkeypatch.undo()
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert status(tmp_path / "out").books["captioned"] >= 2
    run(rehearsal())
    assert deliverable(tmp_path / "out") == deliverable(tmp_path / "whole")


@pytest.mark.parametrize("name", ("fragments", "snapshot"))
def test_an_output_of_which_a_folder_cannot_be_listed_is_left_as_it_is(
    rehearsal, corpus, tmp_path, deliverable, monkeypatch, name
):
    run(rehearsal())
    before, listdir = deliverable(tmp_path / "out"), os.listdir
    shutil.copy(next(corpus.iterdir()), corpus / "0.mp4")  # comes before the others

    def refuses(folder="."):
        if f"/out/{name}" in str(folder):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return listdir(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refuses)
        with pytest.raises(PermissionError, match=name):
            run(rehearsal())
        with pytest.raises(PermissionError, match=name):
            status(tmp_path / "out")
    assert deliverable(tmp_path / "out") == before
    assert run(rehearsal()).captioned_now == 1


def test_a_limit_captions_the_first_and_the_full_run_the_rest(rehearsal, tmp_path, deliverable):
    run(rehearsal(f"output.path={tmp_path / 'whole'}"))
    part = run(rehearsal(), limit=2)
    assert (part.captioned, part.remaining, part.complete) == (2, 4, True)
    rest = run(rehearsal())
    assert (rest.captioned, rest.captioned_now) == (6, 4)
    assert deliverable(tmp_path / "out") == deliverable(tmp_path / "whole")


def test_a_grown_corpus_goes_on_behind_and_a_vanished_clip_leaves(rehearsal, corpus, tmp_path, home):
    run(rehearsal())
    first = sorted(corpus.iterdir())[0]
    shutil.copy(home / "pipelines/demo/clips/realshort.mp4", corpus / "aaa.mp4")
    first.unlink()
    summary = run(rehearsal())
    assert (summary.clips, summary.captioned_now, summary.vanished) == (6, 1, 1)
    rows = records(tmp_path / "out")
    assert rows["aaa.mp4"]["ordinal"] == 6 and first.name not in rows


@pytest.mark.parametrize(("module", "what"), [(jobs, "check"), (prepared.engines, "fetch")])
def test_clips_that_another_run_saw_meanwhile_have_not_vanished(rehearsal, corpus, home, monkeypatch, module, what):
    run(rehearsal())

    def takes_hours(*arguments, **options):
        monkeypatch.undo()
        done = getattr(module, what)(*arguments, **options)
        shutil.copy(home / "pipelines/demo/clips/realshort.mp4", corpus / "zzz.mp4")
        run(rehearsal())
        return done

    monkeypatch.setattr(module, what, takes_hours)
    summary = run(rehearsal())
    assert (summary.captioned, summary.vanished) == (7, 0)


def test_weights_are_read_before_the_lease_is_taken(rehearsal, monkeypatch):
    order = []
    for module, name in ((jobs.ledger, "lease"), (prepared.engines, "fetched_digest")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, real=real, name=name: order.append(name) or real(*given))
    run(rehearsal())
    assert order == ["fetched_digest", "lease"]


def test_a_changed_prompt_captions_again_and_a_changed_output_does_not(rehearsal):
    run(rehearsal())
    assert run(rehearsal("prompt.instruction=short")).captioned_now == 6
    assert run(rehearsal("prompt.instruction=short", "output.rows_per_shard=2")).captioned_now == 0
    assert run(rehearsal()).captioned_now == 0


def test_a_seed_counts_only_where_something_is_drawn(rehearsal):
    run(rehearsal())
    assert run(rehearsal("engine.seed=5")).captioned_now == 0
    assert run(rehearsal("engine.seed=5", "engine.temperature=0.7")).captioned_now == 6
    assert run(rehearsal("engine.seed=6", "engine.temperature=0.7")).captioned_now == 6


def spoil(corpus, home):
    """Files that no decoder can make a clip of, and the reason each must be given."""
    (corpus / "zero.mp4").touch()
    (corpus / "text.mp4").write_text("this is no video\n" * 50)
    good = (home / "pipelines/demo/clips/cockatoo.mp4").read_bytes()
    (corpus / "cut.mp4").write_bytes(good[: len(good) // 2])
    make_audio(corpus / "sound.mp4")


def make_audio(path):
    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for number in range(10):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 16000, number * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_a_bad_file_costs_one_quarantined_row_with_a_reason(rehearsal, corpus, tmp_path, home):
    spoil(corpus, home)
    summary = run(rehearsal())
    assert (summary.captioned, summary.quarantined) == (6, 4)
    rows = {uri: row for uri, row in records(tmp_path / "out").items() if row["status"] == "quarantined"}
    assert set(rows) == {"zero.mp4", "text.mp4", "cut.mp4", "sound.mp4"}
    kinds = {uri: (row["error_stage"], row["error_kind"]) for uri, row in rows.items()}
    assert kinds["zero.mp4"] == ("probe", "empty_file")
    assert kinds["text.mp4"] == ("probe", "not_a_video")
    assert kinds["sound.mp4"] == ("probe", "no_video_stream")
    for row in rows.values():
        assert row["error_message"] and str(tmp_path) not in row["error_message"]
    assert kinds["cut.mp4"][0] in ("probe", "decode")
    assert sum(summary.reasons.values()) == 4


def test_a_missing_file_is_one_quarantined_row(rehearsal, corpus, tmp_path):
    manifest = tmp_path / "clips.csv"
    name = sorted(corpus.iterdir())[0].name
    manifest.write_text(f"path,score\nclips/{name},1\nclips/gone.mp4,2\n")
    summary = run(rehearsal("corpus.kind=manifest", f"corpus.path={manifest}"))
    assert (summary.captioned, summary.quarantined) == (1, 1)
    row = records(tmp_path / "out")["clips/gone.mp4"]
    assert (row["error_stage"], row["error_kind"], row["score"]) == ("probe", "missing", 2)


def test_a_truncated_clip_is_captioned_when_the_settings_say_so(rehearsal, corpus, tmp_path, make_truncated):
    make_truncated(corpus / "cut.mkv")
    assert run(rehearsal()).quarantined == 1
    assert run(rehearsal("decode.truncated=caption")).quarantined == 0
    assert "truncated" in records(tmp_path / "out")["cut.mkv"]["flags"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["corpus.path=/nowhere/clips"], "no folder"),
        (["corpus.pattern=*.avi"], "no videos"),
        (["engine.kind=transformers", "model.checkpoint={corpus}"], "model.checkpoint"),
        (["engine.kind=transformers", "model.checkpoint=./nothing"], "no folder ./nothing"),
        (["output.path=/proc/recap"], "cannot write"),
        (["output.path={corpus}"], "holds other things"),
    ],
)
def test_what_cannot_run_is_refused_and_nothing_is_written(rehearsal, corpus, tmp_path, overrides, message):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=message):
        run(rehearsal(*(text.format(corpus=corpus) for text in overrides)))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_that_would_not_load_is_refused_before_anything_is_written(rehearsal, home, tmp_path):
    checkpoint = tmp_path / "other"
    shutil.copytree(home / "pipelines/demo/random-pllava", checkpoint)
    config = json.loads((checkpoint / "config.json").read_text()) | {"image_token_index": 7}
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"model\.checkpoint: the image token is 3 .* but 7"):
        run(with_model(rehearsal, home, f"model.checkpoint={checkpoint}"))
    assert not (tmp_path / "out").exists()


def test_another_corpus_is_refused(rehearsal, corpus, tmp_path):
    run(rehearsal())
    shutil.copytree(corpus, tmp_path / "other")
    with pytest.raises(ValueError, match="belongs to the corpus"):
        run(rehearsal(f"corpus.path={tmp_path / 'other'}"))


def test_a_manifest_with_reserved_columns_is_refused(rehearsal, corpus, tmp_path):
    manifest = tmp_path / "clips.csv"
    manifest.write_text(f"path,caption\n{sorted(corpus.iterdir())[0].name},x\n")
    with pytest.raises(ValueError, match="caption"):
        run(rehearsal("corpus.kind=manifest", f"corpus.path={manifest}", f"corpus.root={corpus}"))
    assert not (tmp_path / "out").exists()


def test_webdataset_alone_can_be_viewed(rehearsal, tmp_path):
    run(rehearsal("output.formats=[webdataset]"))
    console = Console(file=io.StringIO(), width=200)
    print_captions(tmp_path / "out", 20, console)
    shown = console.file.getvalue()
    assert shown.count(".mp4") == 6 and records_of_tars(tmp_path / "out")[0]["caption"] in shown


def records_of_tars(output):
    import tarfile

    found = []
    for path in sorted((output / "shards").rglob("*.tar")):
        with tarfile.open(path) as archive:
            found += [json.load(archive.extractfile(m)) for m in archive if m.name.endswith(".json")]
    return found


def with_model(rehearsal, home, *overrides):
    checkpoint = f"model.checkpoint={home / 'pipelines/demo/random-pllava'}"
    return rehearsal("engine.kind=transformers", checkpoint, *overrides)


def test_several_prompts_give_several_captions(rehearsal, home, tmp_path):
    summary = run(with_model(rehearsal, home, "prompt.instruction=[short, dense]", "frames.view=wide"))
    assert summary.captioned == 6
    for row in records(tmp_path / "out").values():
        assert [caption["prompt"] for caption in row["captions"]] == ["short", "dense"]
        assert row["caption"] == row["captions"][0]["text"]
        assert row["captions"][0]["model"] == "random-pllava" and row["coverage"] == 1.0
    names = {name.split(".", 1)[1] for name in tar_names(tmp_path / "out")}
    assert names == {"txt", "short.txt", "dense.txt", "json"}


def tar_names(output):
    import tarfile

    for path in (output / "shards").rglob("*.tar"):
        with tarfile.open(path) as archive:
            yield from archive.getnames()


@pytest.mark.parametrize("strategy", ["n_frame", "video_chatgpt", "image_grid"])
def test_the_papers_baselines_run_through_the_same_pipeline(rehearsal, home, tmp_path, strategy):
    summary = run(with_model(rehearsal, home, f"model.visual_tokens={strategy}"), limit=2)
    assert summary.captioned == 2
    times = [len(row["frame_times_s"]) for row in records(tmp_path / "out").values()]
    assert times == [{"n_frame": 4, "video_chatgpt": 16, "image_grid": 6}[strategy]] * 2


def test_a_prompt_too_long_for_the_model_is_refused_before_anything_is_written(rehearsal, home, tmp_path):
    with pytest.raises(ValueError, match="lower max_new_tokens"):
        run(with_model(rehearsal, home, "engine.max_new_tokens=100000"))
    assert not (tmp_path / "out").exists()
