from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from recap.training.samples import read_sets
from recap.training.settings import DataSet


def write(folder, entries, name="train.json"):
    (folder / name).write_text(json.dumps(entries))
    for entry in entries:
        (folder / (entry.get("video") or entry["image"])).touch()
    return str(folder / name)


def entry(name, answer="yes", **more):
    return {"video": name, "QA": [{"i": "", "q": "Is it?", "a": answer}], **more}


def test_spans_images_and_instructions_are_read(tmp_path):
    path = write(tmp_path, [entry("a.mp4", start=1, end=2.5), {"image": "b.jpg", "QA": [{"q": "?", "a": "!"}]}])
    (clip, picture), bad, _ = read_sets([DataSet(path)])
    assert (clip.kind, clip.start_s, clip.end_s, clip.turns[0].answer) == ("video", 1.0, 2.5, "yes")
    assert (picture.kind, picture.start_s) == ("image", None) and not bad


def test_weights_say_how_often_a_sample_is_seen(tmp_path):
    one, two = (
        DataSet(write(tmp_path, [entry(f"{name}{i}.mp4") for i in range(4)], f"{name}.json"), weight=weight)
        for name, weight in (("a", 2.5), ("b", 0.5))
    )
    samples, _, read = read_sets([one, two])
    assert read == 8
    names = [sample.path.rsplit("/", 1)[1][0] for sample in samples]
    assert (names.count("a"), names.count("b")) == (10, 2)


def test_missing_files_and_empty_answers_are_named(tmp_path):
    path = write(tmp_path, [entry("a.mp4"), entry("b.mp4", answer=" "), entry("c.mp4")])
    (tmp_path / "c.mp4").unlink()
    samples, bad, _ = read_sets([DataSet(path)])
    assert len(samples) == 1
    assert [(each.path.rsplit("/", 1)[1], each.reason) for each in bad] == [
        ("b.mp4", "an answer is empty"),
        ("c.mp4", "the file is missing"),
    ]


@pytest.mark.parametrize("name", ["c" * 300, "\ud83d", "\0"])
def test_names_that_no_file_can_have_are_missing(tmp_path, name):
    (tmp_path / "x.json").write_text(json.dumps([entry(name)]))
    samples, (bad,), _ = read_sets([DataSet(str(tmp_path / "x.json"))])
    assert not samples and bad.reason == "the file is missing"


def test_a_folder_is_every_json_file_below_it(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, [entry(f"{name}.mp4")])
    (tmp_path / "notes.jsonl").write_text("{}")
    samples, bad, _ = read_sets([DataSet(str(tmp_path))])
    assert [sample.path for sample in samples] == [str(tmp_path / "a/a.mp4"), str(tmp_path / "b/b.mp4")] and not bad


def test_a_folder_without_conversations_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no \.json file below"):
        read_sets([DataSet(str(tmp_path))])


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_manifest_holds_one_conversation_a_row(tmp_path, suffix):
    rows = [
        {"video": "1.mp4", "image": None, "q": "How many?", "a": "12", "start": 1.0, "end": 2.5},
        {"video": None, "image": "2.jpg", "q": "And here?", "a": "3", "start": None, "end": None},
    ]
    for name in ("1.mp4", "2.jpg"):
        (tmp_path / name).touch()
    manifest = tmp_path / f"rows{suffix}"
    WRITERS[suffix](rows, manifest)
    (clip, picture), bad, _ = read_sets([DataSet(str(manifest))])
    assert (clip.kind, clip.start_s, clip.end_s) == ("video", 1.0, 2.5)
    assert [turn.answer for sample in (clip, picture) for turn in sample.turns] == ["12", "3"]
    assert (picture.kind, picture.start_s) == ("image", None) and not bad


def conversations(rows, path):
    kept = [{name: row[name] for name in ("video", "image", "start", "end") if row[name] is not None} for row in rows]
    lines = [{**row, "QA": [{"q": all_of["q"], "a": all_of["a"]}]} for row, all_of in zip(kept, rows, strict=True)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


WRITERS = {
    ".jsonl": conversations,
    ".csv": lambda rows, path: pyarrow.csv.write_csv(pa.Table.from_pylist(rows), path),
    ".parquet": lambda rows, path: pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path),
}


def read(tmp_path, name, content):
    """The samples and bad samples of a file about `a.mp4`."""
    (tmp_path / "a.mp4").touch()
    (tmp_path / name).write_text(content, encoding="utf-8")
    return read_sets([DataSet(str(tmp_path / name))])[:2]


@pytest.mark.parametrize(("answer", "heard"), [("12", "12"), ("true", "True"), ("null", None)])
def test_answers_that_are_no_text(tmp_path, answer, heard):
    samples, bad = read(tmp_path, "x.json", f'[{{"video": "a.mp4", "QA": [{{"q": null, "a": {answer}}}]}}]')
    assert [sample.turns[0].answer for sample in samples] == ([heard] if heard else [])
    assert [each.reason for each in bad] == ([] if heard else ["an answer is empty"])


def test_a_picture_marker_of_another_format_is_named(tmp_path):
    _, (bad,) = read(tmp_path, "x.json", '[{"video": "a.mp4", "QA": [{"q": "<image>\\nWhat?", "a": "x"}]}]')
    assert "its text holds <image>" in bad.reason


def test_json_with_a_byte_order_mark_and_lines_without_qa(tmp_path):
    row = '{"video": "a.mp4", "q": "?", "a": "!"}'
    for name, content in (("x.json", f"\ufeff[{row}]"), ("x.jsonl", f"\ufeff{row}\n\n")):
        (sample,), bad = read(tmp_path, name, content)
        assert sample.turns[0].answer == "!" and not bad


def test_answers_of_several_lines_in_a_large_csv(tmp_path):
    rows = "".join(f'a.mp4,"What is {number}?","a line\n\nand another, {"x" * 99}"\n' for number in range(20_000))
    samples, bad = read(tmp_path, "x.csv", "video,q,a\n" + rows)
    assert len(samples) == 20_000 and not bad


def test_the_part_of_a_set_is_the_same_by_any_path(tmp_path, monkeypatch):
    path = write(tmp_path, [entry(f"{number}.mp4") for number in range(40)])
    monkeypatch.chdir(tmp_path)
    far, near = (read_sets([DataSet(each, weight=0.5)])[0] for each in (path, "train.json"))
    assert [sample.path.rsplit("/")[-1] for sample in far] == [sample.path.rsplit("/")[-1] for sample in near]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"QA": [{"q": "?", "a": "!"}]}]', "entry 0 .*it names no video and no image"),
        ('["x"]', "entry 0 .* is no conversation"),
        ('[{"video": "a", "QA": [{"a": "!"}]}]', "entry 0 .*it has no 'q'"),
        ('[{"video": "a", "QA": [{"q": "?", "a": ["!"]}]}]', "entry 0 .*questions and answers are text"),
        ("{}", "must hold a list"),
        ("[", "cannot be read"),
        ('[{"video": "a"}]', "entry 0 .* is no conversation"),
    ],
)
def test_what_is_no_list_of_conversations_is_refused(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_sets([DataSet(str(tmp_path / "x.json"))])


def test_a_broken_line_is_told(tmp_path):
    with pytest.raises(ValueError, match="cannot be read: line 3: "):
        read(tmp_path, "x.jsonl", '{"video": "a.mp4", "q": "?", "a": "!"}\n\n{oops\n')


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        read_sets([DataSet(str(tmp_path / "x.json"))])
