"""Addresses, single objects, and copies of them for a reader without a network."""

from __future__ import annotations

import builtins
import errno
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from recap import jobs, ledger
from recap.corpus import CorpusSettings, scan
from recap.corpus.root import root_of
from recap.graph.nodes import Landmarks, look
from recap.records import CAPTIONED, Clip, ClipError, Record
from recap.storage import (
    Fetcher,
    abort_uploads,
    address,
    children,
    create,
    is_cut_off,
    is_store,
    location,
    read_bytes,
    remove,
    remove_tree,
    rename,
    stored_files,
    upload,
    write_atomically,
)
from recap.verification import verify

from .conftest import put
from .proxy import SILENCE_S


def test_addresses():
    assert location("a/b") == Path("a/b") and location(Path("/x")) == Path("/x")
    assert location("file:///tmp/a%20b") == Path("/tmp/a b")
    assert location("/odd/s3://name") == Path("/odd/s3://name")
    assert location("~/x") == Path.home() / "x" and location("file://localhost/a#b?c") == Path("/a#b?c")
    stored = location("s3://bucket/a/b/")
    assert str(stored) == "s3://bucket/a/b" and is_store(stored) and not is_store(Path("a"))
    with pytest.raises(ValueError, match="storage ftp:// is not known"):
        location("ftp://host/x")
    for wrong in ("s3://", "gs:///", "s3:///folder"):
        with pytest.raises(ValueError, match=f"{wrong}: no bucket is named"):
            location(wrong)
    for wrong in ("s3:/bucket/x", "gs:/bucket", "file:/tmp/x"):
        with pytest.raises(ValueError, match=r"a URL of (s3|gs|file) begins with \1://"):
            location(wrong)
    for wrong in ("file://clips", "file://", "~nobody-of-that-name/x"):
        with pytest.raises(ValueError, match=wrong):
            location(wrong)


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_missing_library_says_what_to_install(scheme, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "upath":
            raise ImportError("No module named 'upath'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=rf"pip install --editable '\.\[{scheme}\]'"):
        location(f"{scheme}://bucket/x")


def test_names_of_objects_may_hold_anything(bucket):
    path = bucket / "folder" / "a#b?c %20é+.mp4"
    write_atomically(path, b"123")
    assert [str(child) for child in children(bucket / "folder")] == [str(path)]
    assert location(str(path)).read_bytes() == b"123"
    assert list(stored_files(bucket / "folder", "**/*")) == [path.name]
    rename(path, path.with_name("b.torn"))
    assert [child.name for child in children(bucket / "folder")] == ["b.torn"]


def test_a_folder_whose_name_looks_like_a_pattern_is_that_folder(bucket):
    for name in ("run[1]/a.mp4", "run[1]/b/c.mp4", "run1/a.mp4", "run1/d.mp4"):
        put(bucket / name, b"1")
    assert list(stored_files(bucket / "run[1]", "**/*")) == ["a.mp4", "b/c.mp4"]
    remove_tree(bucket / "run[1]")
    assert list(stored_files(bucket, "**/*")) == ["run1/a.mp4", "run1/d.mp4"]
    remove_tree(bucket / "run1")
    assert not stored_files(bucket, "**/*")


@pytest.mark.parametrize("name", ["plain", "odd [1]*"])
def test_some_files_are_deleted_and_no_others(bucket, tmp_path, name):
    for place in (bucket, tmp_path):
        folder = place / name
        files = [folder / f"{number}.txt" for number in range(5)]
        for file in files:
            write_atomically(file, b"x")
        remove(files[1:4])
        remove([])
        assert sorted(path.name for path in children(folder)) == ["0.txt", "4.txt"]


def test_what_cannot_be_listed_is_not_empty(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    assert children(tmp_path / "none") == children(tmp_path / "file") == []
    assert children(tmp_path) == [tmp_path / "file"]
    monkeypatch.setattr(os, "listdir", refuse := MagicMock(side_effect=PermissionError(13, "Permission denied")))
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        children(tmp_path)


def test_fragments_in_a_store_are_merged(bucket):
    folder = bucket / "fragments"
    for number in range(5):
        writer = ledger.FragmentWriter(folder, 1, f"w{number}", flush_s=60)
        writer.append(Record(Clip(f"{number}", 9 - number, "a", "a", "1"), CAPTIONED, "c", "r"))
        writer.flush()
    assert ledger.compact(folder, {}, many=0) == {folder / "000001-w0-000000.parquet": 5}
    (fragment,) = ledger.read_fragments(folder)
    assert fragment.table["clip_id"].to_pylist() == ["4", "3", "2", "1", "0"]


def test_a_name_that_no_path_has_is_refused(bucket):
    put(bucket / "x", b"1")
    bucket.fs.pipe_file(f"{bucket.path}/x//a.mp4", b"1")
    with pytest.raises(ValueError, match=r"x//a\.mp4: no file could have"):
        stored_files(bucket, "**/*")


@pytest.mark.parametrize("pattern", ["**", "v/**", "v/*", "./v//*", "**/*.mp4"])
def test_a_pattern_means_the_same_on_a_disk_and_in_a_store(bucket, tmp_path, pattern):
    for name in ("a.mp4", "v/b.mp4", "v/w/c.mp4"):
        put(bucket / name, b"1")
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"1")
    disk, store = (scan(CorpusSettings(str(root), pattern=pattern))["uri"].to_pylist() for root in (tmp_path, bucket))
    assert disk == store != []


def test_objects_that_may_be_videos_are_told_as_files_are(bucket):
    for name in ("v/a.mp4", "v/b.h264", "c.y4m", "d.txt"):
        put(bucket / name, b"1")
    told = []
    assert scan(CorpusSettings(str(bucket)), told.append)["uri"].to_pylist() == ["v/a.mp4", "v/b.h264"]
    assert len(told) == 1 and "1 file whose ending is not listed as a video's (.y4m 1; " in told[0]
    assert scan(CorpusSettings(str(bucket), pattern="*.y4m"), told.append)["uri"].to_pylist() == ["c.y4m"]
    assert len(told) == 1


def test_a_store_that_is_gone_is_out_of_sight(hasty, bucket, proxy):
    put(bucket / "v/a.mp4", b"1")
    assert not is_cut_off(bucket / "v/b.mp4") and is_cut_off(bucket / "w/b.mp4")
    proxy.behave(busy=1000)
    assert is_cut_off(bucket / "v/b.mp4")


def test_a_link_is_followed_and_a_pipe_is_written_to(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "real").read_bytes() == b"new" and (tmp_path / "link").is_symlink()
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        write_atomically(tmp_path / "pipe", b"through")
        assert reader.stdout.read() == b"through"
    assert (tmp_path / "pipe").is_fifo()


def test_an_object_is_created_once(bucket):
    create(bucket / "x", b"1")
    with pytest.raises(FileExistsError):
        create(bucket / "x", b"2")
    assert (bucket / "x").read_bytes() == b"1"


def test_an_upload_that_breaks_off_leaves_what_was_there(hasty, bucket, proxy):
    write_atomically(bucket / "x", b"old")
    proxy.behave(drop_puts=100)
    with pytest.raises(OSError, match="x"):
        write_atomically(bucket / "x", b"new" * 1000)
    proxy.behave()
    assert (bucket / "x").read_bytes() == b"old"


def test_a_large_file_comes_whole_or_not_at_all(hasty, bucket, proxy, tmp_path):
    path = bucket / "large"
    (tmp_path / "large").write_bytes(os.urandom(6 * 2**20))
    upload(tmp_path / "large", path)
    before = read_bytes(path)
    assert before == (tmp_path / "large").read_bytes()
    (tmp_path / "large").write_bytes(bytes(7 * 2**20))
    proxy.behave(drop_puts=100)
    with pytest.raises(OSError, match="large"):
        upload(tmp_path / "large", path)
    proxy.behave()
    assert read_bytes(path) == before


def test_open_multipart_uploads_below_the_output_are_ended(bucket, scheme):
    if scheme == "gs":
        return abort_uploads(bucket)  # Google lists none, and ends them itself after a week
    fs, name = bucket.fs, bucket.path.rstrip("/")
    for key in ("out/shards/x", "others/y"):
        fs.call_s3("create_multipart_upload", Bucket=name, Key=key)
    abort_uploads(bucket / "out")
    assert [found["Key"] for found in fs.list_multipart_uploads(name)] == ["others/y"]


class Paging:
    """An S3 that lists one open upload at a time, and lets nobody end the second."""

    def __init__(self):
        self.asked, self.ended = [], []

    def call_s3(self, method, **how):
        if method == "list_multipart_uploads":
            self.asked.append(how)
            page = len(self.asked)
            after = {"NextKeyMarker": f"k{page}", "NextUploadIdMarker": f"u{page}"} if page < 3 else {}
            return {"IsTruncated": page < 3, "Uploads": [{"Key": f"k{page}", "UploadId": f"u{page}"}], **after}
        if how["Key"] == "k2":
            raise PermissionError("AccessDenied")
        self.ended.append(how["UploadId"])


def test_all_pages_of_open_uploads_are_asked_for_and_a_store_may_keep_them(caplog, monkeypatch):
    s3, folder = Paging(), location("s3://bucket/out")
    monkeypatch.setattr(type(folder), "fs", s3)
    caplog.set_level(logging.INFO, "recap")
    abort_uploads(folder)
    where = {"Bucket": "bucket", "Prefix": "out/"}
    assert s3.asked == [where, where | {"KeyMarker": "k1", "UploadIdMarker": "u1"}] and s3.ended == ["u1"]
    assert "stay: " in caplog.text and "s3://bucket/out" in caplog.text


@pytest.mark.parametrize("page", ({}, {"IsTruncated": True}, {"Uploads": [], "NextKeyMarker": "k"}))
def test_what_a_store_leaves_out_of_a_list_of_uploads_is_not_missed(monkeypatch, page):
    asked, folder = [], location("s3://bucket/out")
    monkeypatch.setattr(type(folder), "fs", SimpleNamespace(call_s3=lambda *_, **how: asked.append(how) or page))
    abort_uploads(folder)
    assert len(asked) == 1


def test_a_version_is_size_and_etag(bucket):
    put(bucket / "c/a.mp4", b"123")
    (first,) = stored_files(bucket / "c", "**/*").values()
    put(bucket / "c/a.mp4", b"124")
    (second,) = stored_files(bucket / "c", "**/*").values()
    assert first.startswith("3-") and first != second
    assert stored_files(bucket / "c", "**/*", trust_size=True) == {"a.mp4": "3"}


@pytest.mark.parametrize("scheme", [pytest.param("gs", marks=pytest.mark.gs)], scope="session", indirect=True)
def test_what_is_noted_of_an_object_changes_no_version(bucket):
    clip = bucket / "c/a.mp4"
    put(clip, b"123")
    before = stored_files(bucket / "c", "**/*")
    bucket.fs.setxattrs(clip.path, reviewed="yes")
    assert stored_files(bucket / "c", "**/*") == before


def test_a_copy_is_there_while_it_is_read_and_then_gone(bucket, tmp_path):
    put(bucket / "a.MP4", b"123")
    fetcher = Fetcher(str(tmp_path))
    with fetcher.local(str(bucket / "a.MP4")) as file:
        assert Path(file).read_bytes() == b"123" and Path(file).suffix == ".MP4"
    assert not Path(file).exists()
    with fetcher.local("/local/a.mp4") as local:
        assert local == "/local/a.mp4"
    Path(file).parent.rmdir()  # as something that cleans up may do
    with fetcher.local(str(bucket / "a.MP4")) as file:
        assert Path(file).read_bytes() == b"123"
    fetcher.close()
    assert list(tmp_path.iterdir()) == []


def test_an_object_with_a_long_suffix_is_fetched_like_any_other(bucket, tmp_path):
    put(bucket / f"a.{300 * 'x'}", b"123")
    with Fetcher(str(tmp_path)).local(str(bucket / f"a.{300 * 'x'}")) as file:
        assert Path(file).read_bytes() == b"123"


def test_a_folder_for_copies_that_is_none_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"decode\.fetch_folder: .*file cannot be made: File exists"):
        Fetcher(str(tmp_path / "file"))


def test_what_cannot_be_fetched_is_an_error_of_the_clip(hasty, bucket, tmp_path, proxy):
    put(bucket / "a.mp4", b"12345")

    def reason(max_bytes=100, name="a.mp4"):
        with pytest.raises(ClipError) as error, Fetcher(str(tmp_path), max_bytes).local(str(bucket / name)):
            pass
        return error.value.stage, error.value.kind

    assert reason(name="none.mp4") == ("probe", "missing")
    assert reason(max_bytes=4) == ("fetch", "too_large")
    proxy.behave(busy=1000)
    assert reason() == ("fetch", "unreachable")


@pytest.mark.parametrize("status", [401, 403])
def test_what_may_not_be_read_is_unreadable(hasty, bucket, scheme, tmp_path, proxy, status):
    put(bucket / "a.mp4", b"12345")
    proxy.behave(says=403 if scheme == "s3" else status)
    with pytest.raises(PermissionError, match=f"{bucket}a.mp4"):
        read_bytes(bucket / "a.mp4")
    with pytest.raises(ClipError) as error, Fetcher(str(tmp_path)).local(str(bucket / "a.mp4")):
        pass
    assert (error.value.stage, error.value.kind) == ("probe", "unreadable")


def test_a_stores_library_says_nothing_of_its_own_about_what_is_raised(hasty, bucket, proxy, caplog):
    proxy.behave(busy=1000)
    with pytest.raises(OSError, match=f"{bucket}a.mp4"):
        read_bytes(bucket / "a.mp4")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_store_that_falls_silent_is_asked_again(hasty, bucket, proxy):
    put(bucket / "a.mp4", b"12345")
    proxy.behave(silent=1)
    began = time.monotonic()
    assert read_bytes(bucket / "a.mp4") == b"12345" and time.monotonic() - began < SILENCE_S


def test_a_full_disk_is_not_the_clips_fault(bucket, tmp_path, monkeypatch):
    put(bucket / "a.mp4", b"12345")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("recap.storage.fetching._get", full)
    asked = Fetcher(str(tmp_path)).local(str(bucket / "a.mp4"))
    with (
        pytest.raises(OSError, match=r"decode\.fetch_folder \(.*\) takes no copies of clips: No space") as error,
        asked,
    ):
        pass
    assert error.value.errno == errno.ENOSPC


@pytest.mark.parametrize("when", ("before", "after"))
def test_a_folder_for_copies_that_is_cleaned_away_meanwhile_is_made_again(hasty, bucket, tmp_path, monkeypatch, when):
    put(bucket / "a.mp4", b"12345")
    get_file, folders = bucket.fs.get_file, []

    def disturbed(path, copy):
        folders.append(Path(copy).parent)
        if len(folders) == 1 and when == "before":
            shutil.rmtree(folders[0])
        get_file(path, copy)
        if len(folders) == 1 and when == "after":
            shutil.rmtree(folders[0])

    monkeypatch.setattr(bucket.fs, "get_file", disturbed)
    with Fetcher(str(tmp_path)).local(str(bucket / "a.mp4")) as file:
        assert Path(file).read_bytes() == b"12345"


def test_a_disk_that_takes_no_copies_any_more_is_not_the_clips_fault(hasty, bucket, tmp_path, monkeypatch):
    put(bucket / "a.mp4", b"12345")
    refuse = MagicMock(side_effect=PermissionError(errno.EACCES, "Permission denied"))
    monkeypatch.setattr(bucket.fs, "get_file", refuse)
    monkeypatch.setattr("recap.storage.fetching.sync", refuse)
    asked = Fetcher(str(tmp_path)).local(str(bucket / "a.mp4"))
    with pytest.raises(OSError, match=r"decode\.fetch_folder \(.*\) takes no copies of clips: Perm") as error, asked:
        pass
    assert error.value.errno in ledger.OUTPUT_ERRORS
    with pytest.raises(ClipError, match="no file"), Fetcher(str(tmp_path)).local(str(bucket / "none.mp4")):
        pass


def test_what_a_killed_process_fetched_goes_when_the_next_one_starts(bucket, tmp_path):
    put(bucket / "a.mp4", b"123")
    hold = (
        "import sys; from recap.storage import Fetcher\n"
        "with Fetcher(sys.argv[1]).local(sys.argv[2]) as file: print(file, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(tmp_path), str(bucket / "a.mp4")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        left = Path(other.stdout.readline().strip())
        with Fetcher(str(tmp_path)).local(str(bucket / "a.mp4")):
            assert left.exists(), "a live process's copy was taken away"
        other.kill()
    assert left.exists()
    with Fetcher(str(tmp_path)).local(str(bucket / "a.mp4")):
        assert not left.parent.exists()


def test_addresses_stay_below_a_stored_root():
    root = root_of(location("s3://bucket/clips"))
    assert root.inside("v/./a.mp4") == root.inside("s3://bucket/clips/v/a.mp4") == "v/a.mp4"
    for wrong in ("s3://bucket/clips-outside/a.mp4", "s3://other/a.mp4", "/a.mp4", "../a.mp4"):
        with pytest.raises(ValueError, match="corpus root"):
            root.inside(wrong)


def test_a_node_sees_a_token_in_the_store_or_says_that_it_does_not(hasty, bucket):
    import recap

    put(bucket / "token", b"")
    put(bucket / "clip.mp4", b"12345")
    sees = Landmarks(str(bucket / "token"), str(bucket / "clip.mp4"), 5, (), recap.__version__)
    assert look(sees, "n1") == []
    misses = Landmarks(str(bucket / "no-token"), "gs://unknown/clip.mp4", 5, (), recap.__version__)
    assert [word in problem for word, problem in zip(("output.path", "corpus"), look(misses, "n1"), strict=True)]


def test_another_store_of_the_same_interface_does_as_well(rehearsal, corpus, tmp_path, monkeypatch, deliverable):
    """Memory in the place of Google's store, whose requests are not made here."""
    monkeypatch.setitem(address.SCHEMES, "memory", dict)
    for clip in corpus.iterdir():
        put(location(f"memory://recap-test/clips/{clip.name}"), clip.read_bytes())
    jobs.run(rehearsal(), runner="loop")
    overrides = ("corpus.path=memory://recap-test/clips", "output.path=memory://recap-test/out")
    assert jobs.run(rehearsal(*overrides), runner="loop").captioned == 6
    output = location("memory://recap-test/out")
    assert (output / "manifest.json").read_bytes() == (tmp_path / "out/manifest.json").read_bytes()
    assert verify(output) == [] and jobs.run(rehearsal(*overrides), runner="loop").captioned_now == 0
