"""Corpus and output in a store: the same shards as on a disk, whatever the store does meanwhile."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256

import pytest
from click.testing import CliRunner

from recap import jobs, ledger
from recap.cli import main
from recap.planning import plan
from recap.report.progress import Progress
from recap.shards import notes, stored, writing
from recap.status import status
from recap.verification import verify

from .conftest import put


def run(pipeline, **options) -> jobs.Summary:
    return jobs.run(pipeline, runner=options.pop("runner", "loop"), **options)


def manifest(output) -> dict:
    return json.loads((output / "manifest.json").read_text())


def sums(output) -> dict[str, str]:
    """The manifest's sha256 by name, each checked against the bytes."""
    found = {shard["path"]: shard["sha256"] for shard in manifest(output)["shards"]}
    for name, digest in found.items():
        assert sha256((output / name).read_bytes()).hexdigest() == digest, name
    return found


def objects(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def whole(rehearsal, tmp_path) -> dict:
    """The manifest of a local run over the same clips."""
    run(rehearsal())
    return manifest(tmp_path / "out")


class Killed(BaseException):
    """Stands for a run that dies."""


class DiesAfter(Progress):
    def __init__(self, clips: int):
        super().__init__()
        self.left = clips

    def add(self, *_) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


def test_a_stored_corpus_gives_the_shards_of_a_local_one(pipeline, bucket, whole, tmp_path):
    summary = run(pipeline())
    assert (summary.captioned, summary.remaining, summary.complete) == (6, 0, True)
    assert manifest(bucket / "out") == whole and sums(bucket / "out")
    assert not list((tmp_path / "fetched").iterdir()), "copies of clips were left behind"
    assert verify(bucket / "out") == []
    found = status(bucket / "out")
    assert (found.state, found.books["captioned"], found.generation) == ("complete", 6, whole["generation"])
    assert found.last_commit_s < 600
    assert "run 1: 6 captioned now" in (bucket / "out/run.log").read_text()
    assert (bucket / "out/telemetry/000001.json").is_file()
    assert not [name for name in objects(bucket / "out/shards") if not name.startswith(whole["generation"])]


def test_page_sheet_and_captions_of_a_store_are_written_to_it(pipeline, bucket):
    run(pipeline())
    output = str(bucket / "out")
    page = CliRunner().invoke(main, ["view", output, "--page"])
    assert page.exit_code == 0 and page.stdout.splitlines()[-1] == f"{output}/report/index.html", page.output
    written = (bucket / "out/report/index.html").read_text()
    assert written.count('"jpeg":') == 6 and written.endswith("</html>\n")
    sheet = CliRunner().invoke(main, ["view", output, "--sheet", str(bucket / "sheet.png")])
    assert sheet.exit_code == 0, sheet.output
    assert (bucket / "sheet.png").read_bytes().startswith(b"\x89PNG")
    exported = CliRunner().invoke(main, ["export", output, str(bucket / "captions.csv")])
    assert exported.exit_code == 0, exported.output
    assert len((bucket / "captions.csv").read_text().splitlines()) == 1 + 6


@pytest.mark.ray
def test_the_ray_graph_reads_and_writes_a_store(pipeline, bucket, whole, ray_session):
    assert run(pipeline(), runner="ray").captioned == 6
    assert manifest(bucket / "out") == whole and sums(bucket / "out")


def test_running_again_uploads_nothing(pipeline, bucket, proxy):
    run(pipeline())
    proxy.behave()
    assert run(pipeline()).captioned_now == 0
    puts = [line for line in proxy.seen if line.startswith("PUT")]
    assert not [line for line in puts if "/shards/" in line or "/fragments/" in line], puts
    assert len(proxy.seen) < 90, proxy.seen


def test_shards_that_are_cut_again_and_come_out_the_same_are_not_uploaded(pipeline, bucket, proxy, tars, monkeypatch):
    run(pipeline())
    proxy.behave()
    for module in (stored, notes, writing):
        monkeypatch.setattr(module, "writers", lambda: "a later recap")
    tars.clear()
    run(pipeline())
    assert len(tars) == 2
    assert not [line for line in proxy.seen if line.startswith("PUT") and ".unfinished" in line], proxy.seen


@pytest.fixture
def tars(monkeypatch):
    """The names of the tars that are cut for the store."""
    cut, real = [], stored.upload_shard

    def watched(aside, known, by, name, *what):
        if name.endswith(".tar"):
            cut.append(name.removeprefix("webdataset/"))
        return real(aside, known, by, name, *what)

    monkeypatch.setattr(stored, "upload_shard", watched)
    return cut


def test_of_a_grown_output_only_what_changed_is_cut(pipeline, rehearsal, bucket, tmp_path, tars):
    run(rehearsal("output.rows_per_shard=2"))
    run(pipeline("output.rows_per_shard=2"), limit=3)
    tars.clear()
    for _ in range(2):
        run(pipeline("output.rows_per_shard=2"))
    assert tars == ["train-000001.tar", "train-000002.tar"]
    assert manifest(bucket / "out") == manifest(tmp_path / "out")


@pytest.mark.parametrize("include_video", ["false", "true"])
def test_shards_that_others_upload_are_the_same(
    pipeline, rehearsal, bucket, tmp_path, elsewhere, monkeypatch, include_video
):
    options = ["output.rows_per_shard=2", f"output.include_video={include_video}"]
    run(rehearsal(*options))
    finalize = jobs._finalize
    monkeypatch.setattr(jobs, "_finalize", lambda pipeline, work, _, bars: finalize(pipeline, work, elsewhere, bars))
    run(pipeline(*options))
    assert manifest(bucket / "out") == manifest(tmp_path / "out") and elsewhere.calls == 6


def test_a_generation_whose_run_died_before_the_manifest_is_not_cut_again(pipeline, whole, bucket, tars, monkeypatch):
    def dies(*_):
        raise Killed

    tars.clear()
    with monkeypatch.context() as dying, pytest.raises(Killed):
        dying.setattr(jobs, "_check_shards", dies)
        run(pipeline())
    run(pipeline())
    assert len(tars) == 2 and manifest(bucket / "out") == whole


def test_a_run_that_dies_goes_on_to_the_same_bytes(pipeline, bucket, whole):
    with pytest.raises(Killed):
        run(pipeline(), progress=DiesAfter(3))
    assert not (bucket / "out/manifest.json").exists()
    assert 0 < run(pipeline()).captioned_now < 6
    assert manifest(bucket / "out") == whole


@pytest.mark.parametrize("step", ["write_generation", "write_manifest", "delete_other_generations"])
def test_a_run_that_dies_after_a_step_of_its_end_leaves_no_hole(pipeline, bucket, whole, monkeypatch, step):
    run(pipeline(), limit=3)
    room = jobs.ledger if step == "write_manifest" else jobs.shards
    real = getattr(room, step)

    def dies(*arguments, **options):
        real(*arguments, **options)
        raise Killed

    monkeypatch.setattr(room, step, dies)
    with pytest.raises(Killed):
        run(pipeline())
    monkeypatch.undo()
    assert sums(bucket / "out"), "readers see a hole"
    run(pipeline())
    assert manifest(bucket / "out") == whole
    assert {name.split("/")[0] for name in objects(bucket / "out/shards")} == {whole["generation"]}


def test_a_storm_of_503_and_uploads_cut_off_change_nothing(pipeline, bucket, whole, proxy):
    proxy.behave(busy=4, drop_puts=2, drop_answers=1)
    assert run(pipeline()).captioned == 6
    assert (proxy.busy, proxy.drop_puts, proxy.drop_answers) == (0, 0, 0)
    assert manifest(bucket / "out") == whole and verify(bucket / "out") == []


def test_an_output_that_refuses_to_be_written_ends_the_run_and_a_later_one_goes_on(
    hasty, pipeline, bucket, whole, proxy
):
    run(pipeline(), limit=2)
    proxy.behave(refused="/fragments/")
    with pytest.raises(ledger.OutputFailed, match="reduce your request rate"):
        run(pipeline())
    proxy.behave()
    assert status(bucket / "out").books["captioned"] == 2
    run(pipeline())
    assert manifest(bucket / "out") == whole


def test_a_grown_corpus_goes_on_behind_and_a_changed_object_is_captioned_again(pipeline, stored, bucket, home):
    run(pipeline())
    names = sorted(path.name for path in stored.glob("*.mp4"))
    put(stored / "aaa.mp4", (home / "pipelines/demo/clips/realshort.mp4").read_bytes())
    put(stored / names[0], (stored / names[1]).read_bytes())
    (stored / names[2]).unlink()
    found = plan(pipeline())
    assert (found.new, found.changed, found.vanished, found.to_do) == (1, 1, 1, 2)
    summary = run(pipeline())
    assert (summary.clips, summary.captioned_now, summary.vanished) == (6, 2, 1)
    assert plan(pipeline()).to_do == 0


def test_verify_names_a_changed_byte(pipeline, bucket):
    run(pipeline())
    shard = manifest(bucket / "out")["shards"][0]["path"]
    data = bytearray((bucket / "out" / shard).read_bytes())
    data[100] ^= 1
    put(bucket / "out" / shard, bytes(data))
    (fragment,) = [name for name in objects(bucket / "out/fragments") if name.endswith("000000.parquet")]
    put(bucket / "out/fragments" / fragment, b"torn")
    wheres = {difference.where for difference in verify(bucket / "out")}
    assert {shard, f"fragments/{fragment}"} <= wheres
    run(pipeline())
    assert any(name.endswith(".torn") for name in objects(bucket / "out/fragments"))
    assert status(bucket / "out").books["captioned"] == 6


def test_a_retry_marks_clips_in_the_store(pipeline, stored, bucket):
    put(stored / "zero.mp4", b"")
    assert run(pipeline()).reasons == {"probe/empty_file": 1}
    assert jobs.retry(bucket / "out", reason="probe", runner="loop").quarantined == 1
    assert any(name.endswith(".retry") for name in objects(bucket / "out/fragments"))


def test_a_manifest_names_objects_relative_to_its_folder_or_by_url(pipeline, stored, bucket, tmp_path):
    names = sorted(path.name for path in stored.glob("*.mp4"))
    rows = f"path,score\nclips/{names[0]},1\n{stored}/{names[1]},2\nclips/gone.mp4,3\n"
    put(bucket / "clips.csv", rows.encode())
    summary = run(pipeline("corpus.kind=manifest", f"corpus.path={bucket}clips.csv"))
    assert (summary.captioned, summary.reasons) == (2, {"probe/missing": 1})
    (tmp_path / "local.csv").write_text(rows)
    local = ("corpus.kind=manifest", f"corpus.path={tmp_path / 'local.csv'}", f"corpus.root={bucket}")
    assert plan(pipeline(*local, f"output.path={tmp_path / 'local'}")).to_do == 3


def test_include_video_puts_objects_into_tars(pipeline, rehearsal, bucket, tmp_path):
    run(rehearsal("output.include_video=true"))
    run(pipeline("output.include_video=true"))
    assert manifest(bucket / "out") == manifest(tmp_path / "out")


def test_videos_that_a_store_does_not_hand_out_end_the_run(hasty, pipeline, proxy, tmp_path, monkeypatch):
    local, real = pipeline("output.include_video=true", f"output.path={tmp_path / 'out'}"), jobs.shards.write_generation

    def silent(*arguments):
        proxy.behave(busy=1000)
        return real(*arguments)

    monkeypatch.setattr(jobs.shards, "write_generation", silent)
    with pytest.raises(ledger.OutputFailed, match="is the corpus still in reach"):
        run(local)
    proxy.behave()
    monkeypatch.undo()
    assert not (tmp_path / "out/manifest.json").exists() and run(local).captioned_now == 0


@pytest.mark.parametrize("setting", ["corpus.path", "output.path"])
def test_what_is_not_there_is_refused_with_words(pipeline, scheme, setting):
    with pytest.raises(ValueError, match="no-such-bucket-here"):
        run(pipeline(f"{setting}={scheme}://no-such-bucket-here/x"))


def test_a_store_that_does_not_answer_is_named(hasty, rehearsal, proxy, scheme):
    proxy.behave(busy=1000)
    for setting in ("corpus.path", "output.path"):
        with pytest.raises(ValueError, match=f"{setting}: {scheme}://bucket/x.* cannot be read"):
            plan(rehearsal(f"{setting}={scheme}://bucket/x"))
    proxy.behave()


def test_commands_about_a_store_that_does_not_answer_say_so(hasty, proxy, scheme):
    proxy.behave(busy=1000)
    for command in ("status", "verify", "view"):
        result = CliRunner().invoke(main, [command, f"{scheme}://bucket/out"])
        assert result.exit_code == 1 and f"{scheme}://bucket/out" in result.output, result.output
        assert isinstance(result.exception, SystemExit)
    proxy.behave()


def test_a_file_url_is_the_local_path(rehearsal, corpus, tmp_path, deliverable):
    run(rehearsal())
    before = deliverable(tmp_path / "out")
    again = run(rehearsal(f"corpus.path={corpus.as_uri()}", f"output.path={(tmp_path / 'out').as_uri()}"))
    assert again.captioned_now == 0 and deliverable(tmp_path / "out") == before
    shutil.rmtree(tmp_path / "out")
    run(rehearsal(f"corpus.path={corpus.as_uri()}", f"output.path={(tmp_path / 'out').as_uri()}"))
    assert deliverable(tmp_path / "out") == before
