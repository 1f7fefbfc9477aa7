from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from recap.cli import main
from recap.pocket import Facts, english, make_clips
from recap.pocket.score import score
from recap.records import FrameRequest
from recap.video import DecodeSettings, InProcessReader


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pocket") / "clips"
    make_clips(folder, 3, seed=4)
    return folder


def rows(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_clips_are_whole_videos_with_their_facts(corpus):
    reader = InProcessReader(DecodeSettings())
    for row in rows(corpus):
        frames = reader.read(str(corpus / row["path"]), FrameRequest(16, 72))
        assert (frames.width, frames.height, frames.codec, frames.flags) == (128, 128, "h264", ())
        assert row["caption"] == english(Facts.of(row["facts"]))
        assert row["caption_zh"].startswith("在")


def test_the_conversations_are_those_of_the_manifest(corpus):
    conversations = json.loads((corpus / "train.json").read_text())
    assert [each["video"] for each in conversations] == [row["path"] for row in rows(corpus)]
    assert [each["QA"][0]["a"] for each in conversations] == [row["caption"] for row in rows(corpus)]


def test_more_clips_of_a_seed_begin_with_the_same_ones(corpus, tmp_path):
    command = ["pocket", "make", str(tmp_path / "more"), "--clips", "4", "--seed", "4"]
    assert CliRunner().invoke(main, command).exit_code == 0
    assert rows(tmp_path / "more")[:3] == rows(corpus)
    for row in rows(corpus):
        assert (tmp_path / "more" / row["path"]).read_bytes() == (corpus / row["path"]).read_bytes()


def test_pictures_say_where_things_are(tmp_path):
    command = ["pocket", "make", str(tmp_path / "p"), "--pictures", "5"]
    assert CliRunner().invoke(main, command).exit_code == 0
    assert all(" is " in row["caption"] and row["path"].endswith(".jpg") for row in rows(tmp_path / "p"))


def test_what_is_there_already_is_not_written_over(corpus, tmp_path):
    result = CliRunner().invoke(main, ["pocket", "make", str(corpus), "--clips", "1"])
    assert result.exit_code == 2 and "not an empty folder" in result.output
    result = CliRunner().invoke(main, ["pocket", "make", str(tmp_path / "x")])
    assert result.exit_code == 2 and "--clips or --pictures" in result.output


def test_a_score_counts_every_attribute(corpus):
    pairs = [(Facts.of(row["facts"]), row["caption"]) for row in rows(corpus)]
    assert set(score(pairs).right.values()) == {1.0}
    facts, caption = pairs[0]
    wrong = caption.replace(facts.things[0].colour, "pink")
    found = score([(facts, wrong), (facts, "")])
    assert found.captions == 2 and found.right["whole"] == 0
    assert found.right["background"] == 0.5 and found.right["colour"] < 1
    with pytest.raises(ValueError, match="no caption"):
        score([])
