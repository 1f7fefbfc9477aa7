from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from recap.engines import ModelSettings
from recap.graph.translating import TranslateStage, TranslationPlan
from recap.records import Caption, Clip
from recap.review import ReviewSettings
from recap.translation import TranslationSettings

BAD = "A blue train passes."


@pytest.fixture
def stage(tmp_path):
    settings = TranslationSettings(("zh",), "rehearsal")
    keys = {"fragments": tmp_path, "epoch": 1, "caption_key": "c", "review_key": "r"}
    plan = TranslationPlan("zh", "k", settings, "rehearsal", ModelSettings(), "plain", ReviewSettings(), **keys)
    return TranslateStage(plan, "w")


def clips(*texts: str):
    return [
        (Clip(f"{number:032x}", number, f"{number}.mp4", "", "1"), (Caption("dense", text),))
        for number, text in enumerate(texts)
    ]


def fails_on(stage, monkeypatch, fails, error):
    one = stage.translator._one

    def broken(text, language, second):
        if fails(text):
            raise error
        return one(text, language, second)

    monkeypatch.setattr(stage.translator, "_one", broken)


def read_rows(folder):
    (fragment,) = folder.glob("*.parquet")
    return [caption for (caption,) in pq.read_table(fragment)["captions"].to_pylist()]


def test_a_caption_that_the_translator_fails_on_stays_empty_and_no_other(stage, tmp_path, monkeypatch, caplog):
    fails_on(stage, monkeypatch, lambda text: text == BAD, IndexError("index out of range"))
    assert stage.translate(clips("A dog.", "A red bird.", BAD, "A boat.", "Two cats.")) == 5
    rows = read_rows(tmp_path)
    assert [bool(row["text"]) for row in rows] == [True, True, False, True, True]
    assert (rows[2]["flags"], rows[2]["verdict"]) == (["empty"], "fail")
    assert "2.mp4 has no zh translation of its caption dense: IndexError('index out of range')" in caplog.text


def test_a_lone_caption_outlives_a_failure_that_passes(stage, tmp_path, monkeypatch):
    failures = iter([True])
    fails_on(stage, monkeypatch, lambda text: next(failures, False), RuntimeError("the card was busy"))
    assert stage.translate(clips("A dog.")) == 1
    assert read_rows(tmp_path)[0]["text"]


def test_a_caption_for_which_there_is_no_memory_is_not_given_up(stage, tmp_path, monkeypatch):
    fails_on(stage, monkeypatch, lambda text: text == BAD, MemoryError("one text alone does not fit"))
    with pytest.raises(MemoryError, match="does not fit"):
        stage.translate(clips("A dog.", BAD))
    assert not list(tmp_path.glob("*.parquet"))


def test_a_translator_that_fails_on_everything_marks_no_caption(stage, tmp_path, monkeypatch):
    fails_on(stage, monkeypatch, lambda text: True, ValueError("the model has no __zh__"))
    with pytest.raises(ValueError, match="the model has no __zh__"):
        stage.translate(clips("A dog.", "A red bird."))
    assert not list(tmp_path.glob("*.parquet"))
