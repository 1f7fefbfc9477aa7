from __future__ import annotations

import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recap import ledger
from recap.ledger.fragments import list_fragments, read_fragments
from recap.ledger.schema import fragment_table
from recap.ledger.sealed import write_sealed


@pytest.fixture
def fragment(output):
    """A committed fragment of two clips, and a third clip that it does not hold."""
    output.see("a", "b", "c")
    return output.commit(1, "x", output.caption("a", "caption " * 50), output.caption("b"))


def footer_start(data: bytes) -> int:
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")


def places(data: bytes) -> dict[str, int]:
    """A byte of every class: what a flip there would hit."""
    seal = data.rfind(b"recap-seal:")
    return {
        "leading magic": 1,
        "page header": 5,
        "page data": footer_start(data) // 2,
        "footer": footer_start(data) + 3,
        "contract": data.rfind(b"recap.contract") + 16,
        "seal's mark": seal + 2,
        "seal": seal + 20,
        "footer's length": len(data) - 7,
        "trailing magic": len(data) - 2,
    }


@pytest.mark.parametrize(
    "kind",
    "leading magic,page header,page data,footer,contract,seal's mark,seal,footer's length,trailing magic".split(","),
)
def test_a_flipped_bit_anywhere_sets_the_fragment_aside_and_its_clips_are_missing(output, fragment, kind, caplog):
    data = bytearray(fragment.read_bytes())
    data[places(bytes(data))[kind]] ^= 2
    fragment.write_bytes(data)
    assert output.missing() == ["a", "b", "c"]
    assert f"fragment {fragment.name} is set aside" in caplog.text
    assert [path.name for path in output.fragments.iterdir()] == [fragment.name + ".torn"]


def test_every_single_byte_is_covered(output, fragment):
    sound = fragment.read_bytes()
    for place in range(0, len(sound), 7):
        torn = bytearray(sound)
        torn[place] ^= 1 << place % 8
        fragment.write_bytes(torn)
        assert [path for path, _ in read_all(output.fragments)] == [], place


def read_all(folder):
    return [(fragment.path, fragment.table) for fragment in read_fragments(folder)]


@pytest.mark.parametrize("kept", ["0", "3", "footer - 1", "footer + 5", "all - 8", "all - 4", "all - 1"])
def test_a_torn_fragment_is_set_aside_wherever_it_ends(output, fragment, kept):
    data = fragment.read_bytes()
    end = eval(kept, {"footer": footer_start(data), "all": len(data)})
    fragment.write_bytes(data[:end])
    assert output.missing() == ["a", "b", "c"] and not fragment.exists()


def test_bytes_behind_the_end_are_no_fragment_either(output, fragment):
    fragment.write_bytes(fragment.read_bytes() + b"\0")
    assert output.missing() == ["a", "b", "c"]


def test_a_caption_that_speaks_of_seals_harms_nothing(output):
    output.see("a")
    output.commit(1, "x", output.caption("a", "recap-seal:" + "0" * 32))
    assert output.missing() == []


def test_what_is_foreign_is_set_aside(output, fragment):
    pq.write_table(pa.table({"x": [1]}), output.fragments / "000001-y-000000.parquet")
    pq.write_table(pa.table({"x": [1]}), output.fragments / "notes.parquet")
    write_sealed(output.fragments / "000001-z-000000.parquet", pa.table({"x": [1]}))
    (output.fragments / "000002-y-000000.parquet").mkdir()
    assert output.missing() == ["c"]
    assert [path.name for path in list_fragments(output.fragments)] == [fragment.name]


def test_looking_without_the_lease_renames_nothing(output, fragment, caplog):
    fragment.write_bytes(b"PAR1")
    assert len(output.committed(ledger.pass_over).missing()) == 3
    assert fragment.exists() and "does not count" in caplog.text


def test_a_newer_recaps_fragment_is_refused_and_stays(output, fragment):
    newer = output.fragments / "000002-x-000000.parquet"
    write_sealed(newer, fragment_table([output.caption("c")]), contract=2)
    with pytest.raises(ValueError, match=r"000002-x-000000\.parquet was written by a newer recap .*upgrade"):
        output.committed()
    assert newer.exists()


def test_the_newest_fragments_are_the_last_ones_of_the_last_epochs_writers(output):
    assert ledger.newest_fragments(output.fragments) == []
    output.see("a")
    for epoch, writer, seq in ((1, "x", 5), (2, "x", 0), (2, "x", 1), (2, "y", 0)):
        output.commit(epoch, writer, output.caption("a"), seq=seq)
    ledger.write_retry(output.fragments, 3, output.scanned("a"))
    names = [path.name for path in ledger.newest_fragments(output.fragments)]
    assert names == ["000002-x-000001.parquet", "000002-y-000000.parquet"]


def test_the_newest_records_come_first_and_a_clip_once(output, monkeypatch):
    assert list(ledger.newest_records(output.fragments, ["uri"])) == []
    output.see(*"abcdef")
    for epoch, writer, seq, names in ((1, "x", 9, "ab"), (2, "x", 0, "bc"), (2, "y", 1, "d"), (2, "x", 1, "e")):
        output.commit(epoch, writer, *(output.caption(name, f"{name}{epoch}") for name in names), seq=seq)
    output.commit(3, "x", output.caption("f")).write_bytes(b"PAR1")
    ledger.write_retry(output.fragments, 4, output.scanned("a"))
    records = list(ledger.newest_records(output.fragments, ["caption", "uri"]))
    assert [record["caption"] for record in records] == ["d2", "e2", "c2", "b2", "a1"]
    gone = output.fragments / "000002-y-000001.parquet"
    listed = list_fragments(output.fragments)
    monkeypatch.setattr("recap.ledger.fragments.list_fragments", lambda *_: listed)
    gone.unlink()
    assert [record["uri"] for record in ledger.newest_records(output.fragments, ["uri"])] == [*"ecba"]


def test_the_writer_commits_by_count_and_by_time(output, wait_for):
    output.see("a", "b", "c")
    out = ledger.FragmentWriter(output.fragments, 1, "x", flush_s=0.2, flush_rows=2)
    for name in "abc":
        out.append(output.caption(name))
    assert len(list_fragments(output.fragments)) == 1 and out.pending == 1
    wait_for(lambda: len(list_fragments(output.fragments)) == 2)
    assert out.pending == 0


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), UnicodeEncodeError("utf-8", "", 0, 1, "?")])
def test_a_commit_that_failed_in_the_background_is_raised_at_the_next_record(output, monkeypatch, wait_for, error):
    output.see("a", "b")
    out = ledger.FragmentWriter(output.fragments, 1, "x", flush_s=0.05)
    failed = []

    def full(path, table):
        failed.append(path)
        raise error

    monkeypatch.setattr("recap.ledger.fragments.write_sealed", full)
    out.append(output.caption("a"))
    wait_for(lambda: failed)
    for action in (lambda: out.append(output.caption("b")), out.flush, lambda: out.pending):
        with pytest.raises(type(error)):
            action()


def test_a_writer_that_is_closed_commits_nothing_by_itself(output):
    output.see("a")
    out = ledger.FragmentWriter(output.fragments, 1, "x", flush_s=0.1)
    out.append(output.caption("a"))
    out.close()
    time.sleep(0.4)
    assert not list_fragments(output.fragments)
