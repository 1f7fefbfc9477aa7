from __future__ import annotations

import json
from datetime import date, datetime

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from recap.corpus import CorpusSettings, scan, tables
from recap.corpus.identity import clip_id
from recap.corpus.scan import BASE


def scan_manifest(path, **settings):
    return scan(CorpusSettings(str(path), "manifest", **settings))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_manifest_gives_spans_and_the_callers_columns(tmp_path, suffix):
    path = tmp_path / f"clips.{suffix}"
    rows = [
        {"video": "v/a.mp4", "from": 0.5, "to": 2.25, "score": 3},
        {"video": "v/a.mp4", "from": None, "to": None, "score": 4},
    ]
    write_manifest(path, rows)
    table = scan(CorpusSettings(str(path), "manifest", column="video", start_column="from", end_column="to"))
    assert table["start_s"].to_pylist() == [0.5, None]
    assert table["end_s"].to_pylist() == [2.25, None]
    assert table["score"].to_pylist() == [3, 4]
    assert table["clip_id"].to_pylist() == [clip_id("v/a.mp4", 0.5, 2.25), clip_id("v/a.mp4")]


def write_manifest(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [",".join(rows[0])] + [",".join("" if v is None else str(v) for v in r.values()) for r in rows]
        path.write_text("\n".join(lines) + "\n")


def test_a_file_that_a_manifest_names_and_nobody_has_is_a_clip_all_the_same(tmp_path):
    write_manifest(tmp_path / "m.csv", [{"path": "gone.mp4"}])
    table = scan(CorpusSettings(str(tmp_path / "m.csv"), "manifest"))
    assert table["source_version"].to_pylist() == ["missing"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"video": "a.mp4"}], "no column 'path'"),
        ([{"path": "../a.mp4"}], r"may leave the corpus root: write it without `\.\.`"),
        ([{"path": "https://host/a.mp4"}], "clips are read from disks and from s3://, gs://: copy them there"),
        ([{"path": "a.mp4", "s": 1e9}], "not seconds from the file.s start .below 1e"),
        ([{"path": "/etc/a.mp4"}], "not below the corpus root"),
        (
            [{"path": "x.tar!/a.mp4"}],
            "line 2 .*'x.tar!/a.mp4' is in a tar, whose clips `corpus.kind: webdataset` lists",
        ),
        ([{"path": "a.mp4"}, {"path": "a.mp4"}], "more than once"),
        ([{"path": "a.mp4", "s": "soon"}], "not seconds"),
        ([{"path": "a.mp4", "s": 1e306}], "not seconds"),
        ([{"path": "s3://bucket/a.mp4"}], r"set corpus\.root"),
        ([{"path": "a.mp4", "s": 3, "e": 2}], "ends"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(tmp_path, rows, message):
    write_manifest(tmp_path / "m.csv", rows)
    names = {"start_column": "s" if "s" in rows[0] else None, "end_column": "e" if "e" in rows[0] else None}
    with pytest.raises(ValueError, match=message):
        scan(CorpusSettings(str(tmp_path / "m.csv"), "manifest", **names))


@pytest.mark.parametrize("name", ["uri", "clip_id", "source_version", "start_s", "end_s"])
def test_a_callers_column_named_like_ours_is_refused(tmp_path, name):
    write_manifest(tmp_path / "m.csv", [{"path": "a.mp4", name: 1}])
    with pytest.raises(ValueError, match=rf"of their own called {name}; set corpus\.rename: {{{name}: old_{name}}}"):
        scan_manifest(tmp_path / "m.csv")


def test_the_address_and_the_span_may_be_named_like_ours(tmp_path):
    write_manifest(tmp_path / "m.csv", [{"uri": "a.mp4", "start_s": 1, "end_s": 2, "x": 7}])
    table = scan_manifest(tmp_path / "m.csv", column="uri", start_column="start_s", end_column="end_s")
    assert table.select(["uri", "start_s", "end_s", "x"]).to_pylist() == [
        {"uri": "a.mp4", "start_s": 1.0, "end_s": 2.0, "x": 7}
    ]
    assert table.column_names == [*BASE, "x"]


def test_the_callers_columns_keep_their_types(tmp_path):
    columns = {
        "path": pa.array(["a.mp4", "b.mp4"]),
        "tiny": pa.array([1, None], pa.int8()),
        "half": pa.array([0.1, 2], pa.float32()),
        "when": pa.array([datetime(2024, 5, 1), None], pa.timestamp("ms", "UTC")),
        "tags": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int16())),
        "kind": pa.array(["x", None]).dictionary_encode(),
    }
    written = pa.table(columns)
    pq.write_table(written, tmp_path / "m.parquet", row_group_size=1)
    table = scan_manifest(tmp_path / "m.parquet")
    for name in ("tiny", "half", "when", "tags"):
        assert table[name].type == written[name].type
        assert table[name].to_pylist() == written[name].to_pylist()
    assert table["kind"].type == pa.string() and table["kind"].to_pylist() == ["x", None]


def test_views_and_dictionaries_become_what_they_stand_for_at_any_depth(tmp_path):
    view, kinds = pa.array(["x"], pa.string_view()), pa.array(["y"]).dictionary_encode()
    columns = {
        "view": view,
        "blob": pa.array([b"z"], pa.binary_view()),
        "list": pa.array([["x"]], pa.list_(pa.string_view())),
        "struct": pa.StructArray.from_arrays([view, kinds], ["view", "kind"]),
        "map": pa.array([[("k", "v")]], pa.map_(pa.string(), pa.string_view())),
    }
    pq.write_table(pa.table({"path": ["a.mp4"]} | columns), tmp_path / "m.parquet")
    table = scan_manifest(tmp_path / "m.parquet")
    text = pa.string()
    plain = [text, pa.binary(), pa.list_(text), pa.struct([("view", text), ("kind", text)]), pa.map_(text, text)]
    assert [table[name].type for name in columns] == plain
    assert table["struct"].take([0]).to_pylist() == [{"view": "x", "kind": "y"}]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([0, 10**15], pa.timestamp("s")),
        pa.array([-800_000], pa.date32()),
        pa.array([0], pa.timestamp("ms", "US/Nowhere")),
    ],
)
def test_a_time_that_no_row_can_hold_is_refused(tmp_path, column):
    table = pa.table({"path": [f"{number}.mp4" for number in range(len(column))], "when": column})
    pq.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(ValueError, match=r"column 'when' .* holds times beyond the years 1 to 9999, or of an unknown"):
        scan_manifest(tmp_path / "m.parquet")


def test_quoted_text_may_hold_line_breaks_wherever_the_reader_cuts(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_BLOCK_BYTES", 256)
    rows = [f'v/{number}.mp4,"first,\nsecond.mp4,\n"' for number in range(50)]
    (tmp_path / "m.csv").write_text("\n".join(["path,text", *rows, ""]))
    table = scan_manifest(tmp_path / "m.csv")
    assert table["uri"].to_pylist() == [f"v/{number}.mp4" for number in range(50)]
    assert set(table["text"].to_pylist()) == {"first,\nsecond.mp4,\n"}


def test_quotes_that_open_nothing_are_text(tmp_path):
    (tmp_path / "m.csv").write_bytes(b'\xef\xbb\xbfpath,text\r\na.mp4,5" wide\r\nb.mp4,"5"" wide"\r\nc.mp4,""\r\n')
    assert scan_manifest(tmp_path / "m.csv")["text"].to_pylist() == ['5" wide', '5" wide', ""]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_row_may_be_long(tmp_path, suffix):
    write_manifest(tmp_path / f"m.{suffix}", [{"path": "a.mp4", "text": "long " * 500_000}])
    assert len(scan_manifest(tmp_path / f"m.{suffix}")["text"][0].as_py()) == 2_500_000


def test_an_address_of_digits_keeps_its_zeros(tmp_path):
    (tmp_path / "m.csv").write_text("path,n\n0012,12\n")
    assert scan_manifest(tmp_path / "m.csv").select(["uri", "n"]).to_pylist() == [{"uri": "0012", "n": 12}]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["0012", "13"], ["0012", "13"]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["00.5", "1.5"], ["00.5", "1.5"]),
        (["12e5", "123"], ["12e5", "123"]),
        (["1e-05", "1.2E+20"], [1e-05, 1.2e20]),
        (["2024-05-01T10:00:00Z", ""], ["2024-05-01T10:00:00Z", ""]),
        (["12", " -13"], [12, -13]),
        (["1.50", ""], [1.5, None]),
        (["0", "0.5"], [0, 0.5]),
        (["2024-05-01", ""], [date(2024, 5, 1), None]),
        (["true", "FALSE"], [True, False]),
        (["NA", "NA"], ["NA", "NA"]),
        (["NA", "EU"], ["NA", "EU"]),
        (["NA", "5"], [None, 5]),
    ],
)
def test_a_column_of_a_csv_is_text_where_another_type_would_lose_some_of_it(tmp_path, texts, values):
    (tmp_path / "m.csv").write_text("path,x,n\n" + "".join(f"{n}.mp4,{text},{n}\n" for n, text in enumerate(texts)))
    table = scan_manifest(tmp_path / "m.csv")
    assert table["x"].to_pylist() == values
    assert table["n"].to_pylist() == [0, 1]


def test_seconds_may_be_written_anyhow(tmp_path):
    (tmp_path / "m.csv").write_text("path,s,e,id\na.mp4,00.5,NA,007\nb.mp4,NA,02,008\n")
    table = scan_manifest(tmp_path / "m.csv", start_column="s", end_column="e")
    assert (table["start_s"].to_pylist(), table["end_s"].to_pylist()) == ([0.5, None], [None, 2.0])
    assert table["id"].to_pylist() == ["007", "008"]


def test_what_looks_like_a_time_in_a_jsonl_stays_the_text_that_it_is(tmp_path):
    rows = [
        {"path": f"2024-05-0{n}", "z": n, "x": "2024-05-01 10:00:00", "y": [{"z": {"t": "2024-05-01"}}]} for n in (1, 2)
    ]
    write_manifest(tmp_path / "m.jsonl", rows)
    table = scan_manifest(tmp_path / "m.jsonl").rename_columns({"uri": "path"})
    assert table.select([*rows[0]]).to_pylist() == rows and table.column_names[-3:] == ["z", "x", "y"]


LARGE = 2**53 + 1  # the first whole number that a float is not


@pytest.mark.parametrize(
    "values", [(10**19 + 1, 10**19 + 2), (LARGE, 0.5), ([1.5], [LARGE]), ({"a": LARGE}, {"a": 0.5})]
)
def test_a_whole_number_of_a_jsonl_that_would_become_another_is_refused(tmp_path, values):
    write_manifest(tmp_path / "m.jsonl", [{"path": f"{n}.mp4", "x": value} for n, value in enumerate(values)])
    with pytest.raises(ValueError, match=r"line [12] of .*m\.jsonl: column 'x' holds fractions, .* in quotes"):
        scan_manifest(tmp_path / "m.jsonl")


def test_a_number_on_a_line_of_its_own_is_seen_too(tmp_path):
    row = {"path": "a.mp4", "x": [LARGE, 0.5]}
    (tmp_path / "m.jsonl").write_text("\n" + json.dumps(row, indent=1) + "\n")
    with pytest.raises(ValueError, match=r"line 2 of .*m\.jsonl: column 'x' holds fractions"):
        scan_manifest(tmp_path / "m.jsonl")


@pytest.mark.parametrize("values", [(LARGE, 5), (LARGE - 1, 0.5), ({"a": LARGE, "b": 0.5}, {"a": 1, "b": 1.5})])
def test_a_whole_number_of_a_jsonl_that_stays_is_kept(tmp_path, values):
    write_manifest(tmp_path / "m.jsonl", [{"path": f"{n}.mp4", "x": value} for n, value in enumerate(values)])
    assert scan_manifest(tmp_path / "m.jsonl")["x"].to_pylist() == list(values)


def test_objects_that_are_always_empty_are_null_and_refused_within_others(tmp_path):
    write_manifest(tmp_path / "m.jsonl", [{"path": f"{n}.mp4", "m": {}} for n in range(2)])
    assert scan_manifest(tmp_path / "m.jsonl")["m"].to_pylist() == [None, None]
    for within in ([{}], {"a": {}}):
        write_manifest(tmp_path / "m.jsonl", [{"path": "0.mp4", "m": within}])
        with pytest.raises(ValueError, match=r"column 'm' \(.*\) holds objects with nothing in any of them"):
            scan_manifest(tmp_path / "m.jsonl")


@pytest.mark.parametrize(
    ("depth", "message"), [(41, "column 'x' has lists or objects more than 40 deep"), (3000, "too deep")]
)
def test_what_is_nested_too_deep_for_a_shard_is_refused(tmp_path, depth, message):
    (tmp_path / "m.jsonl").write_text(f'{{"path": "a.mp4", "x": {"[" * depth}1{"]" * depth}}}\n')
    with pytest.raises(ValueError, match=message):
        scan_manifest(tmp_path / "m.jsonl")


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path):
    (tmp_path / "day=3").mkdir()
    write_manifest(tmp_path / "day=3" / "m.parquet", [{"path": "a.mp4"}])
    assert scan_manifest(tmp_path / "day=3" / "m.parquet").column_names == [*BASE]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_two_columns_of_one_name_are_refused(tmp_path, suffix):
    path = tmp_path / f"m.{suffix}"
    if suffix == "csv":
        path.write_text("path,label,label,x\na.mp4,1,2,3\n")
    else:
        names = ["path", "label", "label"]
        pq.write_table(pa.Table.from_arrays([pa.array(["a.mp4"])] * 3, names=names), path)
    with pytest.raises(ValueError, match="several columns named label; rename them"):
        scan_manifest(path)


def test_a_root_that_is_not_there_is_refused(tmp_path):
    write_manifest(tmp_path / "m.csv", [{"path": "a.mp4"}])
    with pytest.raises(ValueError, match=r"corpus\.root: there is no folder"):
        scan_manifest(tmp_path / "m.csv", root=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("m.csv", b""),
        ("m.csv", b"path,\xff\na.mp4,1\n"),
        ("m.csv", b"path\n\xff.mp4\n"),
        ("m.jsonl", b'{"path": "a.mp4", "path": "b.mp4"}\n'),
        ("m.parquet", b"PAR1"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=r"corpus\.path: cannot read the manifest"):
        scan_manifest(tmp_path / name)


def test_a_manifest_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    def refuse(*args, **named):
        raise PermissionError(13, "Permission denied")

    write_manifest(tmp_path / "m.csv", [{"path": "a.mp4"}])
    monkeypatch.setattr(pa.csv, "read_csv", refuse)  # a mode of 000 does not stop root
    with pytest.raises(ValueError, match=r"cannot read the manifest .*Permission denied"):
        scan_manifest(tmp_path / "m.csv")


def test_a_manifest_with_a_damaged_page_is_refused(tmp_path):
    path = tmp_path / "m.parquet"
    table = pa.table({"path": [f"{n:05d}.mp4" for n in range(1000)]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    damaged = bytearray(path.read_bytes())
    damaged[60:600] = bytes(540)
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"corpus\.path: cannot read the manifest"):
        scan_manifest(path)


def test_a_manifest_without_rows_is_refused(tmp_path):
    (tmp_path / "m.csv").write_text("path\n")
    with pytest.raises(ValueError, match="no rows in"):
        scan_manifest(tmp_path / "m.csv")


def test_a_text_that_is_not_utf8_is_refused(tmp_path):
    offsets, data = pa.py_buffer(bytes([0, 0, 0, 0, 1, 0, 0, 0])), pa.py_buffer(b"\xff")
    text = pa.Array.from_buffers(pa.string(), 1, [None, offsets, data])
    pq.write_table(pa.table({"path": ["a.mp4"], "label": text}), tmp_path / "m.parquet")
    with pytest.raises(ValueError, match=r"cannot read the manifest .*Invalid UTF8"):
        scan_manifest(tmp_path / "m.parquet")


@pytest.mark.parametrize("first", ["null\n", "\n null null\n", "\ufeffnull\n"])
def test_a_jsonl_that_begins_with_null_is_refused(tmp_path, first):
    (tmp_path / "m.jsonl").write_text(first + '{"path": "a.mp4"}\n')
    with pytest.raises(ValueError, match=r"line [12] of .*m\.jsonl holds null: write one object a line"):
        scan_manifest(tmp_path / "m.jsonl")


FAR = 2**62


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"until": FAR}], pa.struct([("until", pa.timestamp("us"))])),
        pa.array([[0, FAR]], pa.list_(pa.timestamp("us"))),
        pa.array([[("a", FAR)]], pa.map_(pa.string(), pa.timestamp("us"))),
        pa.array([10**15], pa.duration("s")),
        pa.array([[10**15]], pa.list_(pa.duration("s"))),
    ],
    ids=lambda column: str(column.type),
)
def test_times_that_no_shard_can_keep_are_refused_at_any_depth(tmp_path, column):
    pq.write_table(pa.table({"path": ["a.mp4"], "meta": column}), tmp_path / "m.parquet")
    with pytest.raises(ValueError, match=r"column 'meta' .* holds times beyond the years 1 to 9999"):
        scan_manifest(tmp_path / "m.parquet")


def test_lists_hundreds_deep_are_refused_in_words(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"path": "a.mp4", "deep": ' + "[" * 300 + "1" + "]" * 300 + "}\n")
    with pytest.raises(ValueError, match=r"'deep' has lists or objects more than 40 deep|nested too deep"):
        scan_manifest(tmp_path / "m.jsonl")
