"""What is wrong with a manifest is said of the file as its owner sees it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recap.corpus import CorpusSettings, scan, tables


def refusal(path, data, **settings):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(ValueError) as error:
        scan(CorpusSettings(str(path), "manifest", **settings))
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("m.csv", "path,x\na.mp4,\nb.mp4,café\n".encode("latin1"), r"line 3 is not UTF-8 (b.mp4,caf\xe9): save it as"),
        ("m.csv", "path,x\na.mp4,é\n".encode("utf-16"), "it is UTF-16: save it as UTF-8"),
        ("m.csv", "path\n\né.mp4\n".encode("latin1"), r"line 3 is not UTF-8 (\xe9.mp4)"),
        ("m.csv", "path,é\na.mp4,1\n".encode("latin1"), r"line 1 is not UTF-8 (path,\xe9)"),
        ("m.jsonl", '{"path": "a.mp4"}\n{"path": "é"}\n'.encode("latin1"), r"line 2 is not UTF-8"),
        ("m.jsonl", '{"path": "a.mp4"}\n'.encode("utf-16"), "it is UTF-16"),
        ("m.csv", 'path,x\na.mp4,1\n\n"b\n.mp4",1\nc.mp4,2,3\n', "line 6 has 3 fields and the header 2: quote"),
        ("m.csv", "path;x\na.mp4;1\n", "it has path;x; it seems to be separated by ';': save it with commas"),
        ("m.csv", "path;x\na.mp4;1,5\n", "it seems to be separated by ';': save it with commas"),
        ("m.csv", "path\tx\na.mp4\t1\n", r"it seems to be separated by '\t'"),
        ("m.json", '[{"path": "a.mp4"}, {"path": "b.mp4"}]', "line 1 holds a list: write one object a line"),
        ("m.json", '\n[\n  {"path": "a.mp4"}\n]\n', "line 2 holds a list: write one object a line"),
        ("m.jsonl", '{"path": "a.mp4"}\n7\n', "line 2 holds a number: write one object a line"),
        ("m.jsonl", '{"path": "a.mp4"}\n\n{"path": }\n', "line 3: Expecting value"),
        (
            "m.jsonl",
            '{"path": "a"}\n{"path": "b"\n{"path": "c"}\n',
            "line 3: Expecting ',' delimiter, in what begins on line 2",
        ),
        ("m.csv", 'path,x\na.mp4,"one\n two"\nb.mp4,"5 inch\nc.mp4,7\n', 'line 4 has a quote (") that does not close'),
        ("m.csv", 'path,x\na.mp4,\n\nb.mp4,"5 inch\nc.mp4,"7 inch\nd.mp4,\n', 'line 4 has a quote (") that does not'),
        ("m.csv", 'path,x\na.mp4,"5" inch"\nb.mp4,\n', 'line 2 has a quote (") that does not close where its field'),
        ("m.jsonl", '{"path": "a"}\n{"path": "a", "path": "b"}\n', "line 2: a name stands twice in an object: path"),
        (
            "m.jsonl",
            '{"x": null}\n{"x": 1}\n{"x": "1"}\n',
            "line 3: 'x' holds a text, and a number before: give it one",
        ),
        ("m.jsonl", '{"x": {"y": [1]}}\n{"x": {"y": [2, "z"]}}\n', "line 2: 'x/y/[]' holds a text"),
    ],
)
def test_the_line_is_named_and_what_is_to_be_done(tmp_path, name, data, says):
    said = refusal(tmp_path / name, data)
    assert says in said and "in row" not in said


def test_lines_are_those_of_the_file_whatever_the_reader_cuts(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_BLOCK_BYTES", 128)
    rows = '{"path": "a.mp4"}\n' * 100
    assert "line 101: 'path' holds a number, and a text before" in refusal(tmp_path / "m.jsonl", rows + '{"path": 3}\n')
    assert "line 101: " in refusal(tmp_path / "m.jsonl", rows + '{"path": "b",}\n')


def test_a_row_without_sense_is_found_in_the_file(tmp_path):
    text = '\ufeffpath,x\n\na.mp4,"1\n2"\n\n../b.mp4,"long ' + "x" * 200_000 + '"\n'
    assert refusal(tmp_path / "m.csv", text).startswith("line 6 of ")
    lines = '{"path": "a.mp4", "x": "\\n"}\n\n{"path":\n "b.mp4"}\n{"path": "../c.mp4"}\n'
    assert refusal(tmp_path / "m.jsonl", lines).startswith("line 5 of ")
    pq.write_table(pa.table({"path": ["a.mp4", "../b.mp4"]}), tmp_path / "m.parquet")
    with pytest.raises(ValueError, match=r"^row 2 of "):
        scan(CorpusSettings(str(tmp_path / "m.parquet"), "manifest"))
