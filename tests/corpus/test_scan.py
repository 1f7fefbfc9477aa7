from __future__ import annotations

import json
import os
import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recap.corpus import CorpusSettings, corpus_identity, scan
from recap.corpus.identity import clip_id, inside


def touch(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_folder_lists_its_videos_in_order_of_name(tmp_path):
    for name in ("b.mp4", "a/c.MKV", "notes.txt", "a/d.webm"):
        touch(tmp_path / name)
    assert scan(CorpusSettings(str(tmp_path)))["uri"].to_pylist() == ["a/c.MKV", "a/d.webm", "b.mp4"]
    only = scan(CorpusSettings(str(tmp_path), pattern="a/*.webm"))
    assert only["uri"].to_pylist() == ["a/d.webm"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_manifest_gives_spans_and_the_callers_columns(tmp_path, suffix):
    touch(tmp_path / "v" / "a.mp4")
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


def test_an_id_knows_the_address_and_the_span_and_nothing_else():
    assert clip_id("é.mp4") == clip_id(unicodedata.normalize("NFD", "é.mp4"))
    assert len({clip_id("a"), clip_id("b"), clip_id("a", 0), clip_id("a", 0, 1), clip_id("a", None, 1)}) == 5
    assert clip_id("a", 1.0001) == clip_id("a", 1.0)
    assert len(clip_id("a")) == 32 and "." not in clip_id("a")


def test_a_source_version_changes_with_the_file(tmp_path):
    file = touch(tmp_path / "a.mp4")
    first = scan(CorpusSettings(str(tmp_path)))["source_version"][0].as_py()
    os.utime(file, ns=(1, 1))
    assert scan(CorpusSettings(str(tmp_path)))["source_version"][0].as_py() != first
    trusting = CorpusSettings(str(tmp_path), trust_size=True)
    assert scan(trusting)["source_version"][0].as_py() == "1"


def test_a_file_that_a_manifest_names_and_nobody_has_is_a_clip_all_the_same(tmp_path):
    write_manifest(tmp_path / "m.csv", [{"path": "gone.mp4"}])
    table = scan(CorpusSettings(str(tmp_path / "m.csv"), "manifest"))
    assert table["source_version"].to_pylist() == ["missing"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"video": "a.mp4"}], "no column 'path'"),
        ([{"path": "../a.mp4"}], "leaves the corpus root"),
        ([{"path": "/etc/a.mp4"}], "not below the corpus root"),
        ([{"path": "a.mp4"}, {"path": "a.mp4"}], "more than once"),
        ([{"path": "a.mp4", "s": "soon"}], "not seconds"),
        ([{"path": "a.mp4", "s": 3, "e": 2}], "ends"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(tmp_path, rows, message):
    write_manifest(tmp_path / "m.csv", rows)
    names = {"start_column": "s" if "s" in rows[0] else None, "end_column": "e" if "e" in rows[0] else None}
    with pytest.raises(ValueError, match=message):
        scan(CorpusSettings(str(tmp_path / "m.csv"), "manifest", **names))


def test_a_corpus_that_is_not_there_or_empty_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        scan(CorpusSettings(str(tmp_path / "none")))
    with pytest.raises(ValueError, match="no videos"):
        scan(CorpusSettings(str(tmp_path)))
    with pytest.raises(ValueError, match="no manifest"):
        scan(CorpusSettings(str(tmp_path / "m.csv"), "manifest"))


def test_an_absolute_address_below_the_root_is_made_relative(tmp_path):
    assert inside(tmp_path, str(tmp_path / "v" / "a.mp4")) == "v/a.mp4"


def test_the_identity_is_the_same_however_the_folder_is_written(tmp_path):
    (tmp_path / "c").mkdir()
    assert corpus_identity(CorpusSettings(str(tmp_path / "c"))) == corpus_identity(
        CorpusSettings(str(tmp_path / "c" / ".." / "c"))
    )
