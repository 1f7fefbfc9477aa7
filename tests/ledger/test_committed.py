from __future__ import annotations

import random

from recap import ledger
from recap.records import CAPTIONED, QUARANTINED


def test_the_first_record_in_order_of_epoch_writer_seq_and_row_wins(output):
    output.see("a", "b")
    output.commit(2, "a", output.caption("a", "late"))
    output.commit(1, "zz", output.caption("a", "second"))
    output.commit(1, "z", output.caption("a", "third seq"), seq=10)
    output.commit(1, "z", output.caption("a", "first"), output.caption("a", "second row"), seq=9)
    assert output.captions() == {"a": "first"}
    assert output.missing() == ["b"]


def test_records_come_back_in_order_of_ordinal_with_the_callers_columns(output):
    names = [f"clip{n}" for n in range(60)]
    output.see(*names, score=list(range(60)))
    shuffled = random.Random(1).sample(names, 60)
    for n, writer in enumerate("xyz"):
        output.commit(1, writer, *(output.caption(name, f"text of {name}") for name in shuffled[n::3]))
    rows = output.records(rows=7)
    assert [row["uri"] for row in rows] == names
    assert [row["caption"] for row in rows] == [f"text of {name}" for name in names]
    assert [row["score"] for row in rows] == list(range(60))


def test_a_changed_file_is_missing_again_and_its_old_record_counts_when_it_comes_back(output):
    output.see("a")
    output.commit(1, "x", output.caption("a", "old"))
    assert output.missing() == []
    output.see("a", version="2")
    assert output.missing() == ["a"]
    output.see("a", version="1")
    assert output.missing() == []


def test_a_vanished_clip_is_neither_done_nor_missing(output):
    output.see("a", "b")
    output.commit(1, "x", output.caption("a"), output.failure("b"))
    output.see("b")
    committed = output.committed()
    assert committed.counts()[CAPTIONED] == 0 and committed.counts()[QUARANTINED] == 1
    assert not len(committed.missing()) and output.captions() == {"b": ""}


def test_counts_and_reasons(output):
    output.see("a", "b", "c", "d", "e")
    output.commit(1, "x", output.caption("a"), output.failure("b"), output.failure("c"))
    output.commit(1, "y", output.failure("e", "decode", "timeout"))
    committed = output.committed()
    assert committed.counts() == {CAPTIONED: 1, QUARANTINED: 3}
    assert committed.reasons() == {"probe/empty_file": 2, "decode/timeout": 1}
    assert committed.missing(limit=3).tolist() == [] and committed.missing().tolist() == [3]
    assert committed.quarantined("probe").tolist() == [1, 2]
    assert committed.quarantined("timeout").tolist() == [4] == committed.quarantined("decode/timeout").tolist()
    assert committed.quarantined("captioned").tolist() == []


def test_a_retry_mark_ends_the_records_before_it_and_not_those_behind(output):
    output.see("a", "b")
    output.commit(1, "x", output.failure("a"), output.failure("b"))
    ledger.write_retry(output.fragments, 2, output.scanned("a"))
    assert output.missing() == ["a"]
    assert output.committed().reasons() == {"probe/empty_file": 1}
    output.commit(3, "x", output.caption("a", "at last"))
    assert output.captions() == {"a": "at last", "b": ""}


def test_a_mark_ends_no_record_of_its_own_epoch(output):
    output.see("a")
    output.commit(1, "x", output.caption("a", "old"))
    output.commit(2, "a", output.caption("a", "new"))
    ledger.write_retry(output.fragments, 2, output.scanned("a"))
    assert output.captions() == {"a": "new"}


def test_a_torn_mark_still_lets_what_was_done_again_since_count(output, caplog):
    output.see("a", "b")
    output.commit(1, "x", output.failure("a"), output.caption("b", "sound"))
    ledger.write_retry(output.fragments, 2, output.scanned("a"))
    output.commit(3, "x", output.caption("a", "again"))
    output.commit(3, "y", output.caption("a", "too late"))
    mark = output.fragments / "000002-retry-000000.retry"
    mark.write_bytes(mark.read_bytes()[:-9])
    for _ in range(2):
        assert output.captions() == {"a": "again", "b": "sound"}
    assert caplog.text.count("retry what it marked") == 1 and not mark.exists()
    ledger.compact(output.fragments, {}, many=0)
    assert output.captions() == {"a": "again", "b": "sound"}


def test_many_marks_and_records_in_turn(output, monkeypatch):
    monkeypatch.setattr("recap.ledger.committed._GATHERED", 1)
    output.see("a", "b")
    for epoch in range(1, 8, 2):
        output.commit(epoch, "x", output.caption("a", f"take {epoch}"), output.caption("b", f"take {epoch}"))
        ledger.write_retry(output.fragments, epoch + 1, output.scanned("a"))
    assert output.missing() == ["a"] and output.captions() == {"b": "take 1"}


def test_a_mark_about_an_earlier_version_of_a_file_leaves_the_new_one_alone(output):
    output.see("a", version="2")
    output.commit(1, "x", output.caption("a"))
    ledger.write_retry(output.fragments, 2, output.scanned("a", version="1"))
    assert output.missing() == []
