from __future__ import annotations

import base64
import errno
import io
import json
import os
import tarfile
import weakref
from concurrent.futures import Future
from hashlib import sha256
from threading import Barrier

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset

import recap
from recap.ledger.schema import fragment_table
from recap.records import CAPTIONED, QUARANTINED, Caption, Clip, Record
from recap.shards import (
    OutputSettings,
    Videos,
    delete_other_generations,
    generation,
    notes,
    videos,
    write_generation,
    writing,
)
from recap.shards.webdataset import write_webdataset
from recap.shards.writing import Here, write_shard


def records(count, bad=()):
    rows = []
    for n in range(count):
        clip = Clip(f"{n:032x}", n, f"v/{n}.mp4", "", "1")
        if n in bad:
            rows.append(Record(clip, QUARANTINED, "ck", "rk", error_stage="probe", error_kind="empty_file"))
        else:
            rows.append(Record(clip, CAPTIONED, "ck", "rk", (Caption("dense", f"猫 number {n}"),), fps=25.0))
    return fragment_table(rows).drop_columns(["source_version"])


def settings(tmp_path, **changes):
    return OutputSettings(**{"path": str(tmp_path), "rows_per_shard": 4} | changes)


def with_videos(tmp_path):
    return settings(tmp_path, include_video=True, formats=("webdataset",))


def videos_of(count, folder):
    (folder / "v").mkdir()
    for number in range(count):
        (folder / f"v/{number}.mp4").write_bytes(b"video bytes")


class Seen:
    """A snapshot that has one version of all clips, of the length of `videos_of`."""

    def __init__(self, version="11-1"):
        self.version = version

    def reader(self, names):
        return names

    def rows(self, ordinals, names):
        return pa.table({name: [self.version] * len(ordinals) for name in names})


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_shards_hold_every_row_once_in_order(tmp_path):
    generation, shards = write_generation(tmp_path, [records(10, bad={3})], settings(tmp_path))
    by_kind = {}
    for shard in shards:
        by_kind.setdefault(shard.kind, []).append(shard)
        data = (tmp_path / shard.path).read_bytes()
        assert (len(data), sha256(data).hexdigest()) == (shard.bytes, shard.sha256)
        assert shard.path.startswith(f"shards/{generation}/{shard.kind}/")
    assert [shard.rows for shard in by_kind["parquet"]] == [4, 4, 1]
    assert [shard.rows for shard in by_kind["quarantine"]] == [1]
    ordinals = [o for s in by_kind["parquet"] for o in pq.read_table(tmp_path / s.path)["ordinal"].to_pylist()]
    assert ordinals == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert by_kind["parquet"][1].first_clip_id == f"{5:032x}"


def test_the_bytes_do_not_depend_on_how_the_rows_arrive(tmp_path):
    rows = records(11, bad={0, 7})
    one, _ = write_generation(tmp_path / "one", [rows], settings(tmp_path))
    pieces = [rows.slice(start, 3) for start in range(0, 11, 3)]
    two, _ = write_generation(tmp_path / "two", iter(pieces), settings(tmp_path))
    assert one == two
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_writing_it_again_changes_nothing_and_the_old_one_goes_last(tmp_path):
    first, _ = write_generation(tmp_path, [records(5)], settings(tmp_path))
    before = contents(tmp_path)
    assert write_generation(tmp_path, [records(5)], settings(tmp_path))[0] == first
    assert contents(tmp_path) == before
    second, _ = write_generation(tmp_path, [records(6)], settings(tmp_path))
    assert second != first and (tmp_path / "shards" / first).is_dir()
    delete_other_generations(tmp_path, second)
    assert [path.name for path in (tmp_path / "shards").iterdir()] == [second]


@pytest.mark.parametrize("gone", [False, True])
def test_what_is_damaged_of_a_generation_is_written_anew_and_the_rest_stays_readable(tmp_path, monkeypatch, gone):
    _, shards = write_generation(tmp_path, [records(5)], settings(tmp_path))
    whole, damaged, sound = contents(tmp_path), tmp_path / shards[0].path, [tmp_path / each.path for each in shards[1:]]
    damaged.write_bytes(b"")
    if gone:
        damaged.unlink()
        damaged.parent.rename(tmp_path / "elsewhere")
    before, real = {path: path.stat().st_ino for path in sound if path.exists()}, os.replace

    def replace(path, target):
        assert {path: path.stat().st_ino for path in before} == before, "a reader found nothing"
        real(path, target)

    monkeypatch.setattr(os, "replace", replace)
    write_generation(tmp_path, [records(5)], settings(tmp_path))
    assert {path: path.stat().st_ino for path in before} == before
    assert {name: digest for name, digest in contents(tmp_path).items() if "elsewhere" not in name} == whole


def test_webdataset_reads_the_tars(tmp_path):
    _, shards = write_generation(tmp_path, [records(5, bad={1})], settings(tmp_path))
    tars = [str(tmp_path / shard.path) for shard in shards if shard.kind == "webdataset"]
    samples = list(webdataset.WebDataset(tars, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [f"{n:032x}" for n in (0, 2, 3, 4)]
    assert samples[1]["txt"].decode() == "猫 number 2"
    document = json.loads(samples[1]["json"])
    assert document["uri"] == "v/2.mp4" and document["coverage"] is None
    assert "猫".encode() in samples[1]["json"]


def test_every_prompt_has_its_text_and_the_video_its_place(tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "0.mp4").write_bytes(b"video bytes")
    clip = Clip("0" * 32, 0, "v/0.mp4", "", "1")
    captions = (Caption("dense", "long"), Caption("short", "brief"))
    row = fragment_table([Record(clip, CAPTIONED, "ck", "rk", captions)]).drop_columns(["source_version"])
    files = Videos(tmp_path, Seen())
    _, shards = write_generation(tmp_path / "o", [row], settings(tmp_path, include_video=True), files)
    (tar,) = (shard.path for shard in shards if shard.kind == "webdataset")
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "o" / tar).read_bytes())) as archive:
        files = {member.name.split(".", 1)[1]: archive.extractfile(member).read() for member in archive}
        assert {(member.mtime, member.uid, member.uname) for member in archive} == {(0, 0, "")}
    assert files["txt"] == b"long" and files["short.txt"] == b"brief" and files["mp4"] == b"video bytes"


@pytest.mark.parametrize("name", ["clip", "clip.txt", "clip.JSON"])
def test_a_clip_takes_no_texts_place(tmp_path, name):
    (tmp_path / name).write_bytes(b"video bytes")
    record = Record(Clip("0" * 32, 0, name, "", "1"), CAPTIONED, "ck", "rk", (Caption("dense", "long"),))
    rows = Videos(tmp_path, Seen()).with_versions(fragment_table([record]))
    write_webdataset(rows, tmp_path / "a.tar", tmp_path)
    (sample,) = webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False)
    assert (sample["txt"], sample["video"]) == (b"long", b"video bytes") and json.loads(sample["json"])["uri"] == name


class Died(BaseException):
    """Stands for a process that dies."""


@pytest.fixture
def writes(monkeypatch):
    """The names of the shards that are written, in order; the one at `die_at` is left half written."""

    class Writes(list):
        die_at = None

    done = Writes()

    def watched(folder, by, name, *what):
        done.append(name)
        if len(done) - 1 == done.die_at:
            (folder / ".half").write_bytes(b"half")
            raise Died
        return write_shard(folder, by, name, *what)

    monkeypatch.setattr(generation, "write_shard", watched)
    return done


@pytest.mark.parametrize("die_at", range(7))
def test_an_attempt_that_died_is_taken_up_where_it_stopped(tmp_path, writes, die_at):
    rows = records(10, bad={3})
    _, whole = write_generation(tmp_path / "whole", [rows], settings(tmp_path))
    assert len(writes) == len(whole) == 7
    writes.clear()
    writes.die_at = die_at
    with pytest.raises(Died):
        write_generation(tmp_path / "out", [rows], settings(tmp_path))
    before = list(writes)
    writes.clear()
    writes.die_at = None
    _, again = write_generation(tmp_path / "out", [rows], settings(tmp_path))
    assert again == whole and contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not set(before[:-1]) & set(writes) and len(writes) == 7 - die_at


def test_other_records_take_nothing_from_an_attempt_that_died(tmp_path, writes):
    writes.die_at = 5
    with pytest.raises(Died):
        write_generation(tmp_path, [records(10)], settings(tmp_path))
    writes.die_at = None
    generation_, shards = write_generation(tmp_path, [records(5, bad={0})], settings(tmp_path))
    assert set(contents(tmp_path)) == {f"shards/{generation_}/notes.jsonl", *(shard.path for shard in shards)}
    assert write_generation(tmp_path / "fresh", [records(5, bad={0})], settings(tmp_path))[0] == generation_


def test_tars_with_videos_are_not_taken_up_by_an_attempt_without(tmp_path, writes):
    videos_of(10, tmp_path)
    writes.die_at = 2
    with pytest.raises(Died):
        write_generation(tmp_path / "out", [records(10)], with_videos(tmp_path), Videos(tmp_path, Seen()))
    writes.die_at = None
    write_generation(tmp_path / "out", [records(10)], settings(tmp_path), Videos(tmp_path, Seen()))
    write_generation(tmp_path / "whole", [records(10)], settings(tmp_path))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_shard_that_was_damaged_since_is_not_taken_up(tmp_path, writes):
    writes.die_at = 5
    with pytest.raises(Died):
        write_generation(tmp_path / "out", [records(10)], settings(tmp_path))
    writes.die_at = None
    for path in (tmp_path / "out" / "shards").rglob("*.parquet"):
        path.write_bytes(b"rotten")
    write_generation(tmp_path / "out", [records(10)], settings(tmp_path))
    write_generation(tmp_path / "whole", [records(10)], settings(tmp_path))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_of_a_grown_output_only_what_changed_is_written(tmp_path, writes):
    first, _ = write_generation(tmp_path / "out", [records(10)], settings(tmp_path))
    writes.clear()
    second, shards = write_generation(tmp_path / "out", [records(13)], settings(tmp_path))
    assert sorted(writes) == [
        "parquet/data-00002.parquet",
        "parquet/data-00003.parquet",
        "webdataset/train-000002.tar",
        "webdataset/train-000003.tar",
    ]
    kept = tmp_path / "out/shards"
    assert (kept / first / shards[0].path.split("/", 2)[2]).samefile(tmp_path / "out" / shards[0].path)
    delete_other_generations(tmp_path / "out", second)
    write_generation(tmp_path / "whole", [records(13)], settings(tmp_path))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_of_an_output_that_did_not_change_nothing_is_written(tmp_path, writes):
    generation_, _ = write_generation(tmp_path, [records(10, bad={3})], settings(tmp_path))
    before, _ = contents(tmp_path), writes.clear()
    assert write_generation(tmp_path, [records(10, bad={3})], settings(tmp_path))[0] == generation_
    assert not writes and contents(tmp_path) == before


@pytest.mark.parametrize(
    ("of", "other"),
    [
        ("pyarrow.__version__", "1.0"),
        ("recap.shards.notes.version", lambda package: "1.0"),
        ("recap.shards.webdataset.__file__", recap.shards.cutting.__file__),
    ],
)
def test_other_writers_take_no_shard_of_before(tmp_path, writes, monkeypatch, of, other):
    write_generation(tmp_path, [records(10)], settings(tmp_path))
    writes.clear()
    monkeypatch.setattr(of, other)
    uncached = notes.writers.__wrapped__
    for module in (notes, generation, writing):
        monkeypatch.setattr(module, "writers", uncached)
    write_generation(tmp_path, [records(10)], settings(tmp_path))
    assert len(writes) == 6


def test_a_changed_byte_in_a_shard_of_before_is_mended(tmp_path, writes):
    _, shards = write_generation(tmp_path, [records(10)], settings(tmp_path))
    before, _ = contents(tmp_path), writes.clear()
    path = tmp_path / shards[0].path
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    write_generation(tmp_path, [records(10)], settings(tmp_path))
    assert len(writes) == 1 and contents(tmp_path) == before


def test_readers_shards_are_not_written_to_through_links_of_an_attempt_that_died(tmp_path, writes):
    write_generation(tmp_path, [records(10)], settings(tmp_path))
    before, writes.die_at = contents(tmp_path), len(writes)
    with pytest.raises(Died):
        write_generation(tmp_path, [records(11)], settings(tmp_path))
    writes.die_at = len(writes) + 1
    with pytest.raises(Died):  # behind the first shard, in whose place was a link to the one of before
        write_generation(tmp_path, [records(10, bad={0})], settings(tmp_path))
    assert {path: content for path, content in contents(tmp_path).items() if ".unfinished" not in path} == before


def test_a_disk_without_links_has_shards_written_anew(tmp_path, writes, monkeypatch):
    def refused(*_):
        raise PermissionError

    write_generation(tmp_path / "out", [records(10)], settings(tmp_path))
    monkeypatch.setattr(generation.os, "link", refused)
    second, _ = write_generation(tmp_path / "out", [records(11)], settings(tmp_path))
    delete_other_generations(tmp_path / "out", second)
    write_generation(tmp_path / "whole", [records(11)], settings(tmp_path))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_torn_notes_cost_their_shards_being_written_again(tmp_path, writes):
    write_generation(tmp_path, [records(10)], settings(tmp_path))
    before, _ = contents(tmp_path), writes.clear()
    (notes,) = tmp_path.rglob("notes.jsonl")
    lines = notes.read_bytes().splitlines(keepends=True)
    notes.write_bytes(b"".join([lines[0], lines[1][:40], b"\xff[]\n{}\n", *lines[3:]]))
    write_generation(tmp_path, [records(10)], settings(tmp_path))
    assert len(writes) == 2 and contents(tmp_path) == before


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), PermissionError(errno.EACCES, "denied")])
def test_what_cannot_be_read_of_before_is_written_again(tmp_path, writes, monkeypatch, error):
    _, shards = write_generation(tmp_path / "out", [records(10)], settings(tmp_path))
    real, lost = generation.sync_and_digest, shards[0].path.split("/", 2)[2]

    def broken(path):
        if path.as_posix().endswith(lost):
            raise error
        return real(path)

    monkeypatch.setattr(generation, "sync_and_digest", broken)
    writes.clear()
    write_generation(tmp_path / "out", [records(11)], settings(tmp_path))
    assert lost in writes and len(writes) == 3


def test_what_else_lies_among_generations_harms_nothing(tmp_path, writes):
    first, _ = write_generation(tmp_path, [records(5)], settings(tmp_path))
    (tmp_path / "shards/.DS_Store").write_bytes(b"a file")
    (tmp_path / "shards/other/notes.jsonl").mkdir(parents=True)
    (tmp_path / f"shards/{first}/notes.jsonl").write_bytes(b"[" * 100_000)
    assert write_generation(tmp_path, [records(5)], settings(tmp_path))[0] == first


def test_a_shard_that_was_moved_behind_a_link_is_taken_itself(tmp_path, writes):
    _, shards = write_generation(tmp_path / "out", [records(10)], settings(tmp_path))
    moved = (tmp_path / "out" / shards[0].path).rename(tmp_path / "moved")
    (tmp_path / "out" / shards[0].path).symlink_to(moved)
    _, shards = write_generation(tmp_path / "out", [records(11)], settings(tmp_path))
    moved.unlink()
    assert (tmp_path / "out" / shards[0].path).is_file() and len(writes) == 6 + 2


def test_tars_with_videos_are_written_again_only_where_a_file_changed_or_went(tmp_path, writes):
    videos_of(8, tmp_path)

    def write(version):
        writes.clear()
        write_generation(tmp_path / "out", [records(8)], with_videos(tmp_path), Videos(tmp_path, Seen(version)))
        return len(writes)

    assert [write(version) for version in ("11-1", "11-1", "11-2", "11-2")] == [2, 0, 2, 0]
    (tmp_path / "v/7.mp4").unlink()
    assert [write(version) for version in ("11-2", "11-3", "11-3")] == [0, 2, 1]  # it may have gone for a moment only
    (tmp_path / "v/7.mp4").write_bytes(b"video b")
    assert [write(version) for version in ("11-3", "11-3")] == [1, 1]  # half of it, as yet


def test_videos_are_read_some_at_a_time_and_stay_in_order(tmp_path, monkeypatch):
    videos_of(20, tmp_path)
    (tmp_path / "v/3.mp4").write_bytes(b"the third")
    together, real = Barrier(4), videos.read_video

    def read(root, uri):
        if uri in ("v/0.mp4", "v/1.mp4", "v/2.mp4", "v/3.mp4"):
            together.wait(timeout=20)
        return real(root, uri)

    monkeypatch.setattr(videos, "read_video", read)
    write_webdataset(Videos(tmp_path, Seen()).with_versions(records(20)), tmp_path / "a.tar", tmp_path)
    samples = list(webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [f"{n:032x}" for n in range(20)]
    assert [n for n, sample in enumerate(samples) if sample["mp4"] == b"the third"] == [3]


class OneSlow(Here):
    """Does all at once but the first, which `end` does."""

    def __init__(self):
        self.end, self.rows, self.most = None, [], 0

    def submit(self, make):
        future = super().submit(make) if self.end else Future()
        self.end = self.end or (lambda: future.set_result(make()))
        self.rows.append(weakref.ref(make.args[3]))
        self.most = max(self.most, sum(rows() is not None for rows in self.rows))
        return future


def test_behind_a_slow_shard_no_others_rows_are_held(tmp_path):
    slow = OneSlow()

    def batches():
        for start in range(0, 80, 4):
            yield records(80).slice(start, 4)
        slow.end()

    found = write_generation(tmp_path / "out", batches(), settings(tmp_path), None, slow)
    assert found == write_generation(tmp_path / "whole", [records(80)], settings(tmp_path))
    assert len(slow.rows) == 40 and slow.most <= 4


@pytest.mark.parametrize("include_video", [False, True])
def test_shards_that_others_write_are_the_same(tmp_path, elsewhere, include_video):
    videos_of(30, tmp_path)
    files, some = Videos(tmp_path, Seen()), settings(tmp_path, include_video=include_video)
    others = write_generation(tmp_path / "others", [records(30, bad={3})], some, files, elsewhere)
    assert others == write_generation(tmp_path / "own", [records(30, bad={3})], some, files)
    assert contents(tmp_path / "others") == contents(tmp_path / "own") and elsewhere.calls == 17


class Strange(Here):
    """A node that has another folder, or another way to write, than the driver."""

    def __init__(self, folder=None, by=None):
        self.folder, self.by = folder, by

    def submit(self, make):
        folder, by, *what = make.args
        try:
            return super().submit(make.func, self.folder or folder, self.by or by, *what)
        except Exception as error:
            future = Future()
            future.set_exception(error)
            return future


@pytest.mark.parametrize(
    ("strange", "said"),
    [
        ({"folder": "there"}, "is it the same folder?"),
        ({"folder": "nowhere"}, "No such file or directory"),
        ({"by": "pyarrow 1.0"}, "and the driver pyarrow 1.0"),
    ],
)
def test_what_a_node_cannot_write_the_driver_writes(tmp_path, caplog, strange, said):
    (tmp_path / "there").mkdir()
    node = Strange(**{name: tmp_path / what if name == "folder" else what for name, what in strange.items()})
    found = write_generation(tmp_path / "out", [records(10)], settings(tmp_path), None, node)
    assert found == write_generation(tmp_path / "whole", [records(10)], settings(tmp_path))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert said in caplog.text and all(record.levelname in ("WARNING", "INFO") for record in caplog.records)


def test_nan_in_a_callers_column_is_null_in_json(tmp_path):
    rows = records(1).append_column("score", pa.array([float("nan")]))
    _, shards = write_generation(tmp_path, [rows], settings(tmp_path, formats=("webdataset",)))
    (sample,) = webdataset.WebDataset([str(tmp_path / shards[0].path)], shardshuffle=False)
    assert json.loads(sample["json"])["score"] is None


def test_bytes_in_a_callers_column_are_base64_in_json_and_themselves_in_parquet(tmp_path):
    values = {"thumb": pa.array([b"\xff\x00"]), "parts": pa.array([[b"a"]]), "nan": pa.array([float("nan")])}
    rows = records(1)
    for name, value in values.items():
        rows = rows.append_column(name, value)
    _, shards = write_generation(tmp_path, [rows], settings(tmp_path, formats=("parquet", "webdataset")))
    table, tar = (tmp_path / shard.path for shard in shards)
    (sample,) = webdataset.WebDataset([str(tar)], shardshuffle=False)
    found = json.loads(sample["json"])
    assert [base64.b64decode(text) for text in (found["thumb"], *found["parts"])] == [b"\xff\x00", b"a"]
    assert pq.read_table(table)["thumb"].to_pylist() == [b"\xff\x00"]


def test_no_records_give_no_shards(tmp_path):
    empty: list[pa.Table] = []
    assert write_generation(tmp_path, empty, settings(tmp_path))[1] == []
