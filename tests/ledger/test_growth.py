from __future__ import annotations

import gc
import weakref
from datetime import datetime

import pyarrow as pa
import pytest

from recap import ledger
from recap.ledger import growth as growth_of
from recap.ledger import snapshot
from recap.storage import spilled


def counts(growth: ledger.Growth) -> tuple[int, int, int, int]:
    return growth.new, growth.changed, growth.vanished, growth.returned


def parts(output) -> int:
    return len(list((output.path / "snapshot").iterdir()))


def test_ordinals_never_move_and_vanished_clips_keep_theirs(output):
    assert counts(output.see("b", "c")) == (2, 0, 0, 0)
    assert counts(output.see("a", "c")) == (1, 0, 1, 0)
    assert output.rows("uri", "ordinal", "state") == [("b", 0, "vanished"), ("c", 1, "present"), ("a", 2, "present")]
    assert output.snapshot.present.tolist() == [1, 2]
    assert counts(output.see("a", "b", "c")) == (0, 0, 0, 1)
    assert output.rows("uri", "state") == [("b", "present"), ("c", "present"), ("a", "present")]


def test_a_vanished_clip_is_counted_as_going_once(output):
    output.see("a", "b")
    assert counts(output.see("a")) == (0, 0, 1, 0)
    assert counts(output.see("a")) == (0, 0, 0, 0)


def test_an_unchanged_corpus_appends_nothing(output):
    output.see("a", "b", score=[1, 2])
    assert counts(output.see("a", "b", score=[1, 2])) == (0, 0, 0, 0)
    assert parts(output) == 1


def test_changed_files_and_columns_are_seen_and_only_files_count_as_changed(output):
    output.see("a", "b", score=[1, 2])
    assert counts(output.see("a", "b", version="2", score=[1, 3])) == (0, 2, 0, 0)
    assert counts(output.see("a", "b", version="2", score=[1, 4])) == (0, 0, 0, 0)
    assert output.rows("source_version", "score") == [("2", 1), ("2", 4)]


NAN = float("nan")


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        ([1.0, NAN, None], [1.0, NAN, None], [0, 0, 0]),
        ([1.0, NAN, None], [NAN, None, 1.0], [1, 1, 1]),
        (["x", None], ["x", "y"], [0, 1]),
        ([[1.0, 2.0], [NAN], None], [[1.0, 2.0], [NAN], []], [0, 0, 1]),
        ([{"a": 1}, {"a": None}], [{"a": 2}, {"a": None}], [1, 0]),
        ([True, False], [True, True], [0, 1]),
        ([None, None], [None, "y"], [0, 1]),
        (["x", None], [None, None], [1, 0]),
    ],
)
def test_every_type_of_column_is_compared_with_nan_like_nan_and_null_like_null(output, before, after, differs):
    names = [str(number) for number in range(len(before))]
    output.see(*names, value=before)
    growth = output.see(*names, value=after)
    assert sorted(growth.rows["ordinal"].to_pylist()) == [n for n, differ in enumerate(differs) if differ]
    assert repr([value for (value,) in output.rows("value")]) == repr(after)


def test_a_column_that_went_is_null_and_one_that_came_is_filled(output):
    output.see("a", note=["x"])
    output.see("a", score=[1.0])
    assert output.rows("note", "score") == [(None, 1.0)]


def test_a_column_of_another_type_is_refused_and_nothing_is_written(output):
    output.see("a", score=[[1.5]])
    with pytest.raises(ValueError, match=r"'score' held list<.*> .* holds string now"):
        output.see("a", score=["high"])
    assert parts(output) == 1
    output.see("a", score=[[1.5]])


@pytest.mark.parametrize(
    ("before", "after", "now"),
    [
        (pa.array([1.5]), ["1.5", "01.50"], ["1.5", "01.50"]),
        (pa.array([True]), ["true", "maybe"], ["true", "maybe"]),
        (pa.array([datetime(2024, 5, 1)], pa.timestamp("s")), ["2024-05-01", "later"], ["2024-05-01", "later"]),
        (pa.array([7]), pa.array(["7", "x"], pa.large_string()), ["7", "x"]),
        (["x"], pa.array([True, False]), ["true", "false"]),
    ],
)
def test_a_column_that_has_texts_now_is_one_of_texts(output, before, after, now):
    output.see("a", value=before)
    assert counts(output.see("a", "b", value=after)) == (1, 0, 0, 0)
    assert [value for (value,) in output.rows("value")] == now
    assert counts(output.see("a", "b", value=after)) == (0, 0, 0, 0) and parts(output) == 2


def test_whole_numbers_are_texts_once_their_column_has_texts(output):
    output.see("a", "b", video=[7, None])
    assert counts(output.see("a", "b", "c", video=["7", None, "b17"])) == (1, 0, 0, 0)
    assert output.rows("video") == [("7",), (None,), ("b17",)]
    assert counts(output.see("a", "b", video=[7, 8])) == (0, 0, 1, 0)
    assert output.rows("video") == [("7",), ("8",), ("b17",)]


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ([1], [1.5], pa.float64()),
        ([1.5], [1], pa.float64()),
        ([[]], [["x"]], pa.list_(pa.string())),
        ([{"a": 1}], [{"a": 1, "b": "x"}], pa.struct([("a", pa.int64()), ("b", pa.string())])),
    ],
)
def test_a_column_whose_type_grew_goes_on(output, before, after, kind):
    output.see("a", value=before)
    assert counts(output.see("a", "b", value=before + after)) == (1, 0, 0, 0)
    assert output.snapshot.schema.field("value").type == kind
    assert counts(output.see("a", "b", value=before + after)) == (0, 0, 0, 0)


def test_a_type_that_would_not_hold_what_was_there_is_refused_by_name(output):
    output.see("a", post=[2**60 + 1])
    with pytest.raises(ValueError, match=r"'post' held int64 .* holds double now"):
        output.see("a", "b", post=[1.0, 1.5])


def test_times_in_seconds_are_those_that_parquet_keeps_in_milliseconds(output):
    for _ in range(2):
        growth = output.see("a", at=pa.array([5], pa.timestamp("s")), day=pa.array([5], pa.time32("s")))
    assert counts(growth) == (0, 0, 0, 0) and parts(output) == 1


def test_a_size_alone_is_the_version_that_had_it(output):
    output.see("a", version="120-17")
    assert counts(output.see("a", version="120")) == (0, 0, 0, 0)
    assert counts(output.see("a", version="121")) == (0, 1, 0, 0)
    assert counts(output.see("a", version="121-18")) == (0, 1, 0, 0)


def test_foreseeing_counts_the_same_and_writes_nothing(output):
    output.see("a", "b")
    snapshot, growth = ledger.foresee_snapshot(output.path, output.scanned("b", "c", version="2"))
    assert counts(growth) == (1, 1, 1, 0) and parts(output) == 1
    assert snapshot.present.tolist() == [1, 2]
    later, _ = ledger.update_snapshot(output.path, output.scanned("b", "c", version="2"))
    assert (later.identity == snapshot.identity).all()


@pytest.fixture
def in_twos(monkeypatch):
    """Parts of two rows; clips are compared by twos, their nested values one by one."""
    monkeypatch.setattr(growth_of, "PART_ROWS", 2)
    monkeypatch.setattr(growth_of, "_STEP", 2)
    monkeypatch.setattr(growth_of, "_NESTED_STEP", 1)


def test_many_clips_are_compared_and_appended_by_steps(output, in_twos):
    scores = [[number] for number in range(7)]
    assert counts(output.see(*"abcdefg", score=scores)) == (7, 0, 0, 0) and parts(output) == 4
    assert counts(output.see(*"gfedcba", score=scores[::-1])) == (0, 0, 0, 0) and parts(output) == 4
    assert counts(output.see(*"hgfxyeda", score=[[9]] * 8)) == (3, 0, 2, 0)
    assert output.rows("uri", "ordinal", "state", "score") == [
        *(("abcdefg"[n], n, *(("vanished", [n]) if n in (1, 2) else ("present", [9]))) for n in range(7)),
        *((uri, 7 + n, "present", [9]) for n, uri in enumerate("hxy")),
    ]
    assert counts(output.see(*"abcdefg", score=scores)) == (0, 0, 3, 2)


@pytest.mark.parametrize("survives", [1, 2])
def test_who_dies_between_two_parts_has_lost_nothing(output, in_twos, monkeypatch, survives):
    output.see(*"ab")

    def dies(path, *args, write=growth_of.write_sealed, **kwargs):
        if path.name == f"part-{1 + survives:05d}.parquet":
            raise KeyboardInterrupt
        write(path, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(growth_of, "write_sealed", dies)
        output.see(*"acdefg", version="2")
    assert parts(output) == 1 + survives
    output.see(*"acdefg", version="2")
    states = [("a", 0, "present"), ("b", 1, "vanished"), *((uri, n, "present") for n, uri in enumerate("cdefg", 2))]
    assert output.rows("uri", "ordinal", "state") == states
    assert counts(output.see(*"acdefg", version="2")) == (0, 0, 0, 0)


@pytest.mark.parametrize("becomes", ["more", "less", "other"])
def test_what_a_large_corpus_has_become_takes_little_memory(output, becomes, monkeypatch):
    monkeypatch.setattr(growth_of, "_STEP", 1000)
    names, few = [f"{number:x}" for number in range(30_000)], [f"{number:x}" for number in range(10)]
    before, after = (few, names) if becomes == "more" else (names, few if becomes == "less" else names)
    output.see(*before)
    scanned = output.scanned(*after, version="2" if becomes == "other" else "1")
    scanned = spilled(scanned.schema, [scanned])
    gc.collect()
    held = pa.total_allocated_bytes()
    growth = ledger.compare(output.snapshot, scanned)
    gc.collect()
    assert sum(counts(growth)) >= 29_990
    assert pa.total_allocated_bytes() - held < 0.3 * growth.rows.nbytes


def test_columns_that_had_no_nulls_may_have_some(output):
    for names, has_column in (("ab", True), ("a", False), ("abc", True)):
        scanned = output.scanned(*names)
        if has_column:
            column = pa.field("k", pa.list_(pa.int64()), nullable=False)
            scanned = scanned.append_column(column, pa.array([[1]] * len(names), column.type))
        for is_news in (True, False):
            _, growth = ledger.update_snapshot(output.path, scanned)
            assert bool(len(growth.rows)) is is_news


def test_a_damaged_snapshot_is_refused(output):
    output.see("a")
    (part,) = (output.path / "snapshot").iterdir()
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(ValueError, match=r"part-00000\.parquet is damaged"):
        ledger.read_snapshot(output.path)


@pytest.mark.parametrize("number", [0, 1])
def test_a_snapshot_without_one_of_its_parts_is_refused_and_stays(output, number):
    for names in ("a", "ab", "abc"):
        output.see(*names)
    (output.path / f"snapshot/part-0000{number}.parquet").unlink()
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"part-0000{number}\.parquet is missing, .* put it back from a copy"):
            output.see("a", "b", "c", "d")
    assert parts(output) == 2


def test_one_part_at_a_time_is_in_memory(output, monkeypatch):
    for names in ("a", "ab", "abc"):
        output.see(*names)
    held = []

    def watched(path, opened=snapshot.open_part):
        assert not any(file() for file in held)
        held.append(weakref.ref(file := opened(path)))
        return file

    monkeypatch.setattr(snapshot, "open_part", watched)
    assert len(ledger.read_snapshot(output.path)) == len(held) == 3


def test_clips_are_read_in_the_order_asked_for(output):
    output.see(*"abcdef")
    output.see(*"bcdef", version="2")
    clips = list(output.snapshot.clips(pa.array([4, 1, 3]).to_numpy(), output.path))
    assert [(clip.uri, clip.ordinal, clip.source_version) for clip in clips] == [
        ("e", 4, "2"),
        ("b", 1, "2"),
        ("d", 3, "2"),
    ]
    assert clips[0].location == str(output.path / "e")
