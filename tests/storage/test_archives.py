"""Files in tars, on a disk and in a store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import recap
from recap import jobs
from recap.corpus import CorpusSettings, scan
from recap.graph.nodes import Landmarks, look
from recap.records import ClipError
from recap.storage import Fetcher, file_of, is_cut_off, location, read_bytes

from .conftest import put

FILES = {"a.mp4": b"1" * 700, "a.json": b"{}", "b/c.mp4": b"2" * 5000, "d.mp4": b"3"}


@pytest.fixture(params=["disk", "store"])
def tars(request, bucket, tmp_path, write_tar):
    """A folder with one tar of `FILES`, on a disk or in a store."""
    (tmp_path / "tars").mkdir()
    write_tar(tmp_path / "tars" / "x.tar", FILES)
    if request.param == "disk":
        return tmp_path / "tars"
    put(bucket / "tars/x.tar", (tmp_path / "tars" / "x.tar").read_bytes())
    return bucket / "tars"


def rewritten(tars, data: bytes) -> None:
    if isinstance(tars, Path):
        (tars / "x.tar").write_bytes(data)
    else:
        put(tars / "x.tar", data)


def fetched(tars, tmp_path, name: str, max_bytes: int = 10_000) -> bytes | tuple[str, str]:
    fetcher = Fetcher(str(tmp_path / "fetched"), max_bytes)
    try:
        with fetcher.local(f"{tars}/x.tar!/{name}") as copy:
            assert Path(copy).suffix == ".mp4"
            return Path(copy).read_bytes()
    except ClipError as error:
        return error.stage, error.kind
    finally:
        fetcher.close()
        assert not any((tmp_path / "fetched").iterdir())


def test_a_member_is_read_whole_and_nothing_beside_it(tars, tmp_path):
    for name in ("d.mp4", "a.mp4", "b/c.mp4"):
        assert fetched(tars, tmp_path, name) == FILES[name] == read_bytes(location(f"{tars}/x.tar!/{name}"))


def test_what_cannot_be_read_is_an_error_of_the_clip(hasty, tars, tmp_path):
    assert fetched(tars, tmp_path, "none.mp4") == ("probe", "missing")
    assert fetched(tars, tmp_path, "b/c.mp4", max_bytes=4999) == ("fetch", "too_large")
    data = read_bytes(tars / "x.tar")
    rewritten(tars, data[: data.index(b"2222") + 4000])
    assert fetched(tars, tmp_path, "b/c.mp4") == ("fetch", "truncated")
    assert fetched(tars, tmp_path, "a.mp4") == FILES["a.mp4"]
    assert fetched(tars, tmp_path, "d.mp4") == ("probe", "missing")


def test_a_tar_that_was_written_anew_is_looked_through_anew(hasty, tars, tmp_path, write_tar):
    assert fetched(tars, tmp_path, "d.mp4") == b"3"
    write_tar(tmp_path / "y.tar", {"d.mp4": b"44", "e.mp4": b"5"})
    rewritten(tars, (tmp_path / "y.tar").read_bytes())
    assert fetched(tars, tmp_path, "d.mp4") == b"44"
    assert fetched(tars, tmp_path, "a.mp4") == ("probe", "missing")


def test_a_tar_is_in_sight_as_its_folder_is(tars):
    assert file_of(f"{tars}/x.tar!/a.mp4") == tars / "x.tar"
    assert not is_cut_off(tars / "x.tar!/a.mp4") and not is_cut_off(tars / "gone.tar!/a.mp4")
    assert is_cut_off(tars / "none" / "x.tar!/a.mp4")


def test_a_node_sees_the_tar_or_says_that_it_does_not(tars):
    size = len(read_bytes(tars / "x.tar"))
    for name, problems in (("x.tar", 0), ("y.tar", 1)):
        landmarks = Landmarks(str(tars / "x.tar"), f"{tars}/{name}!/a.mp4", size, (), recap.__version__)
        assert len(look(landmarks, "here")) == problems


def test_a_folder_that_is_called_like_a_member_is_a_folder(tmp_path):
    clip = tmp_path / "x.tar!" / "a.mp4"
    clip.parent.mkdir()
    clip.write_bytes(b"1")
    with Fetcher().local(str(clip)) as local:
        assert local == str(clip)


def test_a_stores_tars_are_listed_as_a_disks(bucket, tmp_path, write_tar):
    write_tar(tmp_path / "x.tar", FILES | {"big.mp4": b"0" * 300_000, "last.mp4": b"1"})
    put(bucket / "c/x.tar", (tmp_path / "x.tar").read_bytes())
    put(bucket / "c/torn.tar", (tmp_path / "x.tar").read_bytes()[:2000])
    told = []
    clips = scan(CorpusSettings(str(bucket / "c"), kind="webdataset"), told.append)
    of_a_disk = scan(CorpusSettings(str(tmp_path), kind="webdataset", pattern="x.tar"))
    assert clips["uri"].to_pylist() == ["torn.tar!/a.mp4", *of_a_disk["uri"].to_pylist()]
    assert "the first: torn.tar: there is no header at byte 1536" in told[0]


def test_a_corpus_of_tars_has_the_captions_of_its_clips(rehearsal, corpus, tars, tmp_path, write_tar):
    clips = sorted(corpus.iterdir())
    write_tar(tmp_path / "y.tar", {clip.name: clip.read_bytes() for clip in clips})
    rewritten(tars, (tmp_path / "y.tar").read_bytes())
    where = (f"corpus.path={tars}", "corpus.kind=webdataset", f"output.path={tmp_path / 'of-tars'}")
    assert jobs.run(rehearsal(*where, "output.include_video=true"), runner="loop").complete
    shards = tmp_path / "of-tars" / "shards"
    packed = {path.name: path.read_bytes() for path in _unpacked(shards, tmp_path) if path.suffix == ".mp4"}
    assert sorted(packed.values()) == sorted(clip.read_bytes() for clip in clips)
    assert jobs.run(rehearsal(*where, "output.include_video=true"), runner="loop").captioned_now == 0


def test_new_tars_are_additions_and_rewritten_ones_are_captioned_again(rehearsal, corpus, tmp_path, write_tar):
    clips = {clip.name: clip.read_bytes() for clip in sorted(corpus.iterdir())}
    names, tars = list(clips), tmp_path / "tars"
    tars.mkdir()

    def captioned_now(tar: str, some: list[str]) -> int:
        write_tar(tars / tar, {name: clips[name] for name in some})
        where = (f"corpus.path={tars}", "corpus.kind=webdataset", f"output.path={tmp_path / 'grown'}")
        summary = jobs.run(rehearsal(*where), runner="loop")
        assert summary.complete
        return summary.captioned_now

    assert captioned_now("b.tar", names[:3]) == 3
    assert captioned_now("a.tar", names[3:]) == 3
    assert captioned_now("b.tar", names[:2]) == 2


def _unpacked(shards, tmp_path):
    for tar in shards.rglob("*.tar"):
        shutil.unpack_archive(tar, tmp_path / "unpacked", filter="data")
    return (tmp_path / "unpacked").iterdir()
