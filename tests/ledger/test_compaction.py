from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from recap import ledger
from recap.ledger import compaction
from recap.ledger.fragments import list_fragments

NAMES = [f"c{n:02d}" for n in range(24)]


@pytest.fixture
def many(output):
    """Twenty-four fragments of one record each, by three writers in two epochs, and a later one that comes too late."""
    output.see(*NAMES)
    for n, name in enumerate(NAMES):
        output.commit(1 + n // 12, "xyz"[n % 3], output.caption(name, f"text of {name}"), seq=n)
    output.commit(3, "x", output.caption(NAMES[0], "too late"))
    return output


EXPECTED = {name: f"text of {name}" for name in NAMES}


def test_many_small_fragments_become_few_with_the_same_records(many):
    ledger.compact(many.fragments, {}, many=8, merged_rows=10)
    assert [len(list_fragments(many.fragments)), many.captions()] == [3, EXPECTED]


def test_few_fragments_and_large_ones_stay(many):
    before = list_fragments(many.fragments)
    ledger.compact(many.fragments, {})
    assert list_fragments(many.fragments) == before
    rows = ledger.compact(many.fragments, {}, many=8, merged_rows=10)
    merged = list_fragments(many.fragments)
    assert rows == {path: count for path, count in many.committed().rows_in.items() if count > 1}
    assert ledger.compact(many.fragments, rows, many=1, merged_rows=10) == {}
    assert list_fragments(many.fragments) == merged


def test_the_last_of_each_writer_stays_while_they_are_at_it(many):
    for seq, name in enumerate(NAMES[:6]):
        many.commit(4, "pq"[seq % 2], many.caption(name, "once more"), seq=seq)
    last = list_fragments(many.fragments)[-6:]
    ledger.compact(many.fragments, {}, many=8, merged_rows=100, growing=True)  # the fourth is one with the fifth
    assert [path in list_fragments(many.fragments) for path in last] == [False, False, True, True, False, True]
    assert many.captions() == EXPECTED


class Died(BaseException):
    """Stands for a process that dies."""


@pytest.mark.parametrize("steps", range(12))
def test_dying_at_any_step_loses_nothing_and_the_next_run_finishes(many, monkeypatch, steps):
    left = steps

    def step(path):
        nonlocal left
        left -= 1
        if left < 0:
            raise Died

    write, unlink = compaction.write_sealed, type(many.fragments).unlink
    monkeypatch.setattr(compaction, "write_sealed", lambda path, table: (step(path), write(path, table)))
    monkeypatch.setattr(type(many.fragments), "unlink", lambda path, **k: (step(path), unlink(path, **k)))
    with pytest.raises(Died):
        ledger.compact(many.fragments, {}, many=8, merged_rows=10)
    monkeypatch.undo()
    assert many.captions() == EXPECTED
    ledger.compact(many.fragments, {}, many=0, merged_rows=10)
    assert many.captions() == EXPECTED and len(list_fragments(many.fragments)) <= 4


def test_merged_records_lie_in_the_order_of_the_corpus(many):
    ledger.compact(many.fragments, {}, many=8, merged_rows=100)
    (path,) = list_fragments(many.fragments)
    rows = pq.read_table(path).select(["ordinal", "caption"]).to_pylist()
    assert [row["ordinal"] for row in rows] == [0, *range(24)]
    assert [row["caption"] for row in rows][:2] == [f"text of {NAMES[0]}", "too late"]


def test_who_has_read_where_records_are_does_not_take_others_for_them_after_a_merge(many):
    before = many.committed()
    ledger.compact(many.fragments, before.rows_in, many=8, merged_rows=100)
    for ordinals in ([0], [5], [20, 3]):
        with pytest.raises(FileNotFoundError):
            list(before.records(np.array(ordinals), ["clip_id"]))


def test_fragments_that_marks_part_are_left_alone(output, monkeypatch):
    output.see(*NAMES)
    for n, name in enumerate(NAMES):
        output.commit(1 + 2 * n, "x", output.caption(name))
        ledger.write_retry(output.fragments, 2 + 2 * n, output.scanned(name))
    monkeypatch.setattr(compaction, "open_fragment", lambda path: pytest.fail("read for nothing"))
    assert ledger.compact(output.fragments, {}, many=8) == {}


def test_no_record_moves_across_a_retry_mark(output):
    output.see("a", "b")
    output.commit(1, "x", output.failure("a"))
    output.commit(1, "y", output.failure("b"))
    ledger.write_retry(output.fragments, 2, output.scanned("a"))
    output.commit(3, "x", output.caption("a", "again"))
    output.commit(3, "y", output.caption("b", "too late"))
    ledger.compact(output.fragments, {}, many=0)
    assert output.captions() == {"a": "again", "b": ""}
    assert len(list_fragments(output.fragments)) == 3


def test_a_torn_fragment_is_left_to_the_reader(many, caplog):
    torn = list_fragments(many.fragments)[3]
    torn.write_bytes(torn.read_bytes()[:-1])
    ledger.compact(many.fragments, {}, many=8, merged_rows=10)
    assert torn.exists()
    assert len(many.missing()) == 1 and not torn.exists()
