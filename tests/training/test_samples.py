from __future__ import annotations

import json

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
    (clip, picture), bad = read_sets([DataSet(path)])
    assert (clip.kind, clip.start_s, clip.end_s, clip.turns[0].answer) == ("video", 1.0, 2.5, "yes")
    assert (picture.kind, picture.start_s) == ("image", None) and not bad


def test_weights_say_how_often_a_sample_is_seen(tmp_path):
    one, two = (
        DataSet(write(tmp_path, [entry(f"{name}{i}.mp4") for i in range(4)], f"{name}.json"), weight=weight)
        for name, weight in (("a", 2.5), ("b", 0.5))
    )
    samples, _ = read_sets([one, two])
    names = [sample.path.rsplit("/", 1)[1][0] for sample in samples]
    assert (names.count("a"), names.count("b")) == (10, 2)


def test_missing_files_and_empty_answers_are_named(tmp_path):
    path = write(tmp_path, [entry("a.mp4"), entry("b.mp4", answer=" "), entry("c.mp4")])
    (tmp_path / "c.mp4").unlink()
    samples, bad = read_sets([DataSet(path)])
    assert len(samples) == 1
    assert [(each.path.rsplit("/", 1)[1], each.reason) for each in bad] == [
        ("b.mp4", "an answer is empty"),
        ("c.mp4", "the file is missing"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "must hold a list"),
        ("[", "cannot be read as JSON"),
        ('[{"video": "a"}]', "entry 0 .* is no conversation"),
    ],
)
def test_what_is_no_list_of_conversations_is_refused(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_sets([DataSet(str(tmp_path / "x.json"))])


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        read_sets([DataSet(str(tmp_path / "x.json"))])
