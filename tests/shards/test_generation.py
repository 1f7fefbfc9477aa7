from __future__ import annotations

import io
import json
import tarfile
from hashlib import sha256

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset

from recap.ledger.schema import fragment_table
from recap.records import CAPTIONED, QUARANTINED, Caption, Clip, Record
from recap.shards import OutputSettings, cutting, delete_other_generations, write_generation
from recap.shards.webdataset import write_webdataset


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


def test_a_damaged_generation_is_written_anew(tmp_path):
    _, shards = write_generation(tmp_path, [records(5)], settings(tmp_path))
    (tmp_path / shards[0].path).write_bytes(b"")
    write_generation(tmp_path, [records(5)], settings(tmp_path))
    assert sha256((tmp_path / shards[0].path).read_bytes()).hexdigest() == shards[0].sha256


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
    _, shards = write_generation(tmp_path / "o", [row], settings(tmp_path, include_video=True), tmp_path)
    (tar,) = (shard.path for shard in shards if shard.kind == "webdataset")
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "o" / tar).read_bytes())) as archive:
        files = {member.name.split(".", 1)[1]: archive.extractfile(member).read() for member in archive}
        assert {(member.mtime, member.uid, member.uname) for member in archive} == {(0, 0, "")}
    assert files["txt"] == b"long" and files["short.txt"] == b"brief" and files["mp4"] == b"video bytes"


@pytest.mark.parametrize("name", ["clip", "clip.txt", "clip.JSON"])
def test_a_clip_takes_no_texts_place(tmp_path, name):
    (tmp_path / name).write_bytes(b"video bytes")
    record = Record(Clip("0" * 32, 0, name, "", "1"), CAPTIONED, "ck", "rk", (Caption("dense", "long"),))
    write_webdataset(fragment_table([record]), tmp_path / "a.tar", tmp_path)
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

    def watched(write):
        def wrapper(rows, path, *rest):
            done.append(f"{path.parent.name}/{path.name}")
            if len(done) - 1 == done.die_at:
                path.write_bytes(b"half")
                raise Died
            write(rows, path, *rest)

        return wrapper

    for name in ("write_parquet", "write_webdataset"):
        monkeypatch.setattr(cutting, name, watched(getattr(cutting, name)))
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
    assert {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "shards").rglob("*.*") if path.is_file()} == {
        shard.path for shard in shards
    }
    assert write_generation(tmp_path / "fresh", [records(5, bad={0})], settings(tmp_path))[0] == generation_


def test_tars_with_videos_are_not_taken_up_by_an_attempt_without(tmp_path, writes):
    (tmp_path / "v").mkdir()
    (tmp_path / "v/0.mp4").write_bytes(b"video bytes")
    writes.die_at = 5
    with pytest.raises(Died):
        write_generation(tmp_path / "out", [records(10)], settings(tmp_path, include_video=True), tmp_path)
    writes.die_at = None
    write_generation(tmp_path / "out", [records(10)], settings(tmp_path), tmp_path)
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


def test_nan_in_a_callers_column_is_null_in_json(tmp_path):
    rows = records(1).append_column("score", pa.array([float("nan")]))
    _, shards = write_generation(tmp_path, [rows], settings(tmp_path, formats=("webdataset",)))
    (sample,) = webdataset.WebDataset([str(tmp_path / shards[0].path)], shardshuffle=False)
    assert json.loads(sample["json"])["score"] is None


def test_no_records_give_no_shards(tmp_path):
    empty: list[pa.Table] = []
    assert write_generation(tmp_path, empty, settings(tmp_path))[1] == []
