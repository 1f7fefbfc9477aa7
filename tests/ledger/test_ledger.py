from __future__ import annotations

import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recap import ledger
from recap.ledger.fragments import FragmentWriter, read_fragments
from recap.ledger.recipe import check_owner, write_recipe
from recap.records import CAPTIONED, QUARANTINED, Caption, Clip, Record


def scanned(*names, version="1", **extra):
    columns = {
        "clip_id": [f"{name:0>32}" for name in names],
        "uri": list(names),
        "source_version": [version] * len(names),
        "start_s": pa.array([None] * len(names), pa.float64()),
        "end_s": pa.array([None] * len(names), pa.float64()),
    }
    return pa.table(columns | extra)


def record(clip: Clip, text: str, status=CAPTIONED, **columns) -> Record:
    return Record(clip, status, "ck", "rk", captions=(Caption("dense", text),), **columns)


def clips(snapshot, root):
    return {clip.uri: clip for clip in ledger.clips_of(ledger.present(snapshot), root)}


def fragment_paths(folder):
    return [path for path, _ in read_fragments(folder)]


def test_ordinals_never_move_and_vanished_clips_keep_theirs(tmp_path):
    ledger.update_snapshot(tmp_path, scanned("b", "c"))
    snapshot = ledger.update_snapshot(tmp_path, scanned("a", "c"))
    assert snapshot["uri"].to_pylist() == ["b", "c", "a"]
    assert snapshot["ordinal"].to_pylist() == [0, 1, 2]
    assert snapshot["state"].to_pylist() == ["vanished", "present", "present"]
    back = ledger.update_snapshot(tmp_path, scanned("a", "b", "c"))
    assert back["state"].to_pylist() == ["present"] * 3
    assert back["uri"].to_pylist() == ["b", "c", "a"]


def test_an_unchanged_corpus_appends_nothing(tmp_path):
    ledger.update_snapshot(tmp_path, scanned("a", "b", score=[1, 2]))
    ledger.update_snapshot(tmp_path, scanned("a", "b", score=[1, 2]))
    assert len(list((tmp_path / "snapshot").iterdir())) == 1


def test_changed_files_and_columns_are_seen(tmp_path):
    ledger.update_snapshot(tmp_path, scanned("a", "b", score=[1, 2]))
    snapshot = ledger.update_snapshot(tmp_path, scanned("a", "b", version="2", score=[1, 3]))
    assert snapshot["source_version"].to_pylist() == ["2", "2"]
    assert snapshot["score"].to_pylist() == [1, 3]


def test_nan_is_no_change_and_a_column_that_went_is(tmp_path):
    ledger.update_snapshot(tmp_path, scanned("a", score=[float("nan")], note=["x"]))
    ledger.update_snapshot(tmp_path, scanned("a", score=[float("nan")], note=["x"]))
    assert len(list((tmp_path / "snapshot").iterdir())) == 1
    snapshot = ledger.update_snapshot(tmp_path, scanned("a", score=[1.0]))
    assert snapshot["note"].to_pylist() == [None] and snapshot["score"].to_pylist() == [1.0]


def test_a_column_of_another_type_is_refused_and_nothing_is_written(tmp_path):
    first = ledger.update_snapshot(tmp_path, scanned("a", score=[1]))
    with pytest.raises(ValueError, match=r"'score' held int64 .* holds string now"):
        ledger.update_snapshot(tmp_path, scanned("a", score=["high"]))
    assert ledger.update_snapshot(tmp_path, scanned("a", score=[1])).equals(first)
    assert len(list((tmp_path / "snapshot").iterdir())) == 1


def test_the_first_record_in_order_of_epoch_writer_and_seq_wins(tmp_path):
    snapshot = ledger.update_snapshot(tmp_path, scanned("a", "b"))
    a, _ = clips(snapshot, tmp_path).values()
    folder = tmp_path / "fragments"
    for epoch, writer, clip, text in ((2, "a", a, "late"), (1, "z", a, "first"), (1, "zz", a, "second")):
        with_writer = FragmentWriter(folder, epoch, writer, 30)
        with_writer.append(record(clip, text))
        with_writer.append(record(clip, "again"))
        with_writer.flush()
    committed = ledger.Committed(snapshot, folder)
    (batch,) = committed.batches()
    assert batch["caption"].to_pylist() == ["first"]
    assert committed.missing()["uri"].to_pylist() == ["b"]


def test_records_come_back_in_order_of_ordinal_with_the_callers_columns(tmp_path):
    names = [f"clip{n}" for n in range(30)]
    snapshot = ledger.update_snapshot(tmp_path, scanned(*names, score=list(range(30))))
    by_name = clips(snapshot, tmp_path)
    for n, writer in enumerate("xyz"):
        out = FragmentWriter(tmp_path / "fragments", 1, writer, 30)
        for name in reversed(names[n::3]):
            out.append(record(by_name[name], f"text of {name}"))
        out.flush()
    table = pa.concat_tables(ledger.Committed(snapshot, tmp_path / "fragments").batches(rows=7))
    assert table["uri"].to_pylist() == names
    assert table["caption"].to_pylist() == [f"text of {name}" for name in names]
    assert table["score"].to_pylist() == list(range(30))


def test_a_changed_file_is_missing_again(tmp_path):
    snapshot = ledger.update_snapshot(tmp_path, scanned("a"))
    out = FragmentWriter(tmp_path / "fragments", 1, "x", 30)
    out.append(record(clips(snapshot, tmp_path)["a"], "old"))
    out.flush()
    assert not len(ledger.Committed(snapshot, tmp_path / "fragments").missing())
    changed = ledger.update_snapshot(tmp_path, scanned("a", version="2"))
    assert len(ledger.Committed(changed, tmp_path / "fragments").missing()) == 1


def test_counts_and_reasons(tmp_path):
    snapshot = ledger.update_snapshot(tmp_path, scanned("a", "b", "c", "d"))
    by_name = clips(snapshot, tmp_path)
    out = FragmentWriter(tmp_path / "fragments", 1, "x", 30)
    out.append(record(by_name["a"], "fine"))
    for name in "bc":
        out.append(Record(by_name[name], QUARANTINED, "ck", "rk", error_stage="probe", error_kind="empty_file"))
    out.flush()
    committed = ledger.Committed(snapshot, tmp_path / "fragments")
    assert committed.counts() == {CAPTIONED: 1, QUARANTINED: 2}
    assert committed.reasons() == {"probe/empty_file": 2}
    assert committed.missing(limit=3).num_rows == 0 and committed.missing().num_rows == 1


def test_a_torn_fragment_is_set_aside_and_its_clips_are_missing(tmp_path, caplog):
    snapshot = ledger.update_snapshot(tmp_path, scanned("a"))
    out = FragmentWriter(tmp_path / "fragments", 1, "x", 30)
    out.append(record(clips(snapshot, tmp_path)["a"], "text"))
    out.flush()
    (path,) = fragment_paths(tmp_path / "fragments")
    path.write_bytes(path.read_bytes()[:-9])
    assert len(ledger.Committed(snapshot, tmp_path / "fragments").missing()) == 1
    assert "set aside" in caplog.text and not path.exists()


def test_the_writer_commits_by_count_and_by_time(tmp_path):
    snapshot = ledger.update_snapshot(tmp_path, scanned("a", "b", "c"))
    out = FragmentWriter(tmp_path / "fragments", 1, "x", flush_s=0.2, flush_rows=2)
    for clip in clips(snapshot, tmp_path).values():
        out.append(record(clip, "text"))
    assert len(list((tmp_path / "fragments").glob("*.parquet"))) == 1
    deadline = time.monotonic() + 5
    while len(fragment_paths(tmp_path / "fragments")) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(fragment_paths(tmp_path / "fragments")) == 2


def test_nothing_half_written_is_left_behind(tmp_path):
    def fail(aside):
        aside.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        ledger.files.write_atomically(tmp_path / "x.json", fail)
    assert list(tmp_path.iterdir()) == []


HOLD = """
import sys
from pathlib import Path
from recap import ledger
with ledger.lease(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_writer_at_a_time_and_every_run_has_its_epoch(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="another run"), ledger.lease(tmp_path):
            pass
        other.kill()
    with ledger.lease(tmp_path) as epoch:
        assert epoch == 2


def test_an_output_belongs_to_one_corpus(tmp_path):
    write_recipe(tmp_path, "folder:/a", {"caption_key": "ck"}, {})
    check_owner(tmp_path, "folder:/a")
    with pytest.raises(ValueError, match="belongs to the corpus folder:/a"):
        check_owner(tmp_path, "folder:/b")


def test_a_folder_with_other_things_and_a_newer_contract_are_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"thesis\.tex"):
        check_owner(tmp_path, "folder:/a")
    ledger.write_json(tmp_path / "recipe.json", {"contract": 2, "corpus": "folder:/a"})
    with pytest.raises(ValueError, match="newer recap"):
        check_owner(tmp_path, "folder:/a")


def test_an_output_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot write"), ledger.lease(tmp_path / "file" / "out"):
        pass


def test_reserved_column_names_are_refused():
    with pytest.raises(ValueError, match="caption"):
        ledger.refuse_reserved(["score", "caption"])
    ledger.refuse_reserved(["score"])


def test_a_first_run_that_died_early_locks_nobody_out(tmp_path):
    (tmp_path / "lease.lock").touch()
    (tmp_path / ".recipe.json.7.tmp").touch()
    check_owner(tmp_path, "folder:/a")


def test_a_file_is_no_output(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        check_owner(tmp_path / "file", "folder:/a")


def test_keys_chain():
    assert ledger.key_of({"a": 1, "b": 2}) == ledger.key_of({"b": 2, "a": 1})
    assert len({ledger.key_of({"a": 1}), ledger.key_of({"a": 2}), ledger.key_of({"a": 1}, "previous")}) == 3


def test_a_foreign_parquet_is_no_fragment(tmp_path):
    (tmp_path / "fragments").mkdir()
    pq.write_table(pa.table({"x": [1]}), tmp_path / "fragments" / "000001-x-000000.parquet")
    assert fragment_paths(tmp_path / "fragments") == []
