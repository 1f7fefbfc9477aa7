"""`output.include_video`: the clips' own files in the tars."""

from __future__ import annotations

import tarfile

import pytest

from recap import jobs, ledger
from recap.report.progress import Progress


def run(pipeline, **options) -> jobs.Summary:
    return jobs.run(pipeline, runner="loop", **options)


def in_tars(output, suffix: str) -> list[bytes]:
    found = []
    for path in sorted((output / "shards").rglob("*.tar")):
        with tarfile.open(path) as archive:
            found += [archive.extractfile(member).read() for member in archive if member.name.endswith(suffix)]
    return found


def test_videos_travel_in_the_tars_when_asked(rehearsal, corpus, tmp_path):
    run(rehearsal("output.include_video=true"))
    assert in_tars(tmp_path / "out", ".mp4") == [clip.read_bytes() for clip in sorted(corpus.iterdir())]


def test_a_video_that_went_keeps_its_caption(rehearsal, corpus, tmp_path):
    gone = sorted(corpus.iterdir())[2]

    class DeletesOne(Progress):
        def add(self, status):
            gone.unlink(missing_ok=True)

    assert run(rehearsal("output.include_video=true"), progress=DeletesOne()).captioned == 6
    assert [len(in_tars(tmp_path / "out", suffix)) for suffix in (".mp4", ".txt")] == [5, 6]


def test_videos_out_of_reach_end_the_run_and_leave_the_shards_of_before(rehearsal, corpus, tmp_path, monkeypatch):
    pipeline, away, real = rehearsal("output.include_video=true"), tmp_path / "away", jobs.shards.write_generation
    generation = run(pipeline, limit=3).generation

    def unmounted(*arguments):
        corpus.rename(away)
        corpus.mkdir()
        return real(*arguments)

    monkeypatch.setattr(jobs.shards, "write_generation", unmounted)
    with pytest.raises(ledger.OutputFailed, match="is the corpus still in reach"):
        run(pipeline)
    assert ledger.read_manifest(tmp_path / "out").generation == generation
    assert list((tmp_path / "out/shards" / generation).rglob("*.tar"))
    monkeypatch.undo()
    corpus.rmdir()
    away.rename(corpus)
    assert run(pipeline).captioned_now == 0 and len(in_tars(tmp_path / "out", ".mp4")) == 6
