"""Nothing that may have been meant as a clip is left out without a word."""

from __future__ import annotations

import os

import pytest

from recap.corpus import CorpusSettings, scan
from recap.corpus.passed_over import PassedOver


def listed(folder, pattern="**/*"):
    """The clips, and what is said about the rest."""
    told = []
    return scan(CorpusSettings(str(folder), pattern=pattern), told.append)["uri"].to_pylist(), " ".join(told)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "clips" / "v").mkdir(parents=True)
    (tmp_path / "clips" / "v" / "a.mp4").touch()
    return tmp_path / "clips"


def test_endings_are_counted_no_further_than_some_hundreds(monkeypatch):
    passed = PassedOver("clips")
    for number in range(1000):
        passed.file(f"a.{number}")
        passed.hidden_file(f".cache/a.{number}")
    assert len(passed._beside) + len(passed._maybe) < 600


def test_what_is_no_video_to_anyone_is_not_worth_a_word(folder):
    for name in ("a.txt", "a.json", "a.JPG", ".DS_Store", ".hidden", "README", "v/a.srt", "train-000000.tar"):
        (folder / name).touch()
    (folder / "named.y4m").mkdir()
    assert listed(folder) == (["v/a.mp4"], "")


def test_endings_that_may_be_a_videos_are_counted_and_the_most_frequent_named(folder):
    for name in ("a.y4m", "b.Y4M", "v/c.mxf", "d", "e.cine", "f.x2", "g.x3"):
        (folder / name).touch()
    clips, said = listed(folder)
    assert clips == ["v/a.mp4"]
    assert said == (
        f"passed over below {folder}: 7 files whose ending is not listed as a video's (.y4m 2, .cine 1, .mxf 1, .x2 1, "
        ".x3 1, …; convert .y4m, .mxf, which no decoder here reads; corpus.pattern: '**/*.cine' takes .cine)"
    )
    assert "1 file whose ending is not listed as a video's (.mxf 1; convert .mxf" in listed(folder, "v/*")[1]
    (folder / "w").mkdir()
    (folder / "w" / "bare").touch()
    (folder / "w" / "b.mp4").touch()
    assert listed(folder, "w/*")[1].endswith("(no ending 1; list them in a manifest)")


def test_hidden_videos_are_counted_and_taken_where_the_pattern_is_of_such(folder):
    for name in (".b.mp4", ".Trash-1000/c.mp4", "v/._a.mp4", "v/.a.txt", "d.d.mp4"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    clips, said = listed(folder)
    assert clips == ["d.d.mp4", "v/a.mp4"]
    assert said.endswith(
        ": 2 hidden videos (the first: .Trash-1000/c.mp4; a corpus.pattern with such a dot takes them)"
    )
    assert listed(folder, "**/.*") == ([".b.mp4", "v/._a.mp4"], "")
    assert listed(folder, ".Trash*/*") == ([".Trash-1000/c.mp4"], "")


def test_a_pattern_that_names_an_ending_takes_what_ends_so(folder):
    (folder / "b.y4m").touch()
    assert listed(folder, "**/*.y4m") == (["b.y4m"], "")
    assert ".y4m 1" in listed(folder, "**/*.[my][p4]?")[1], "what has a wildcard names no ending"


@pytest.mark.parametrize("name", ["a.h264", "a.265", "a.VOB", "a.asf", "a.f4v", "a.divx", "a.ivf", "a.3g2", "a.m2t"])
def test_containers_that_can_be_read_are_videos(folder, name):
    (folder / name).touch()
    assert listed(folder) == ([name, "v/a.mp4"], "")


def test_links_that_lead_out_are_counted_and_those_that_stay_within_are_not(folder, tmp_path):
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "o.mp4").touch()
    (folder / "in.mp4").symlink_to("v/a.mp4")
    (folder / "inner").symlink_to("v")
    assert listed(folder) == (["in.mp4", "v/a.mp4"], "")
    (folder / "out.mp4").symlink_to(outside / "o.mp4")
    assert "1 file or folder behind links that lead out of it (the first: out.mp4; set corpus.path" in listed(folder)[1]
    (folder / "broken.mp4").symlink_to(outside / "none.mp4")
    (folder / "outer").symlink_to(outside)
    clips, said = listed(folder)
    assert clips == ["in.mp4", "v/a.mp4"]
    assert "3 files or folders behind links that lead out of it (the first: broken.mp4; " in said


def test_links_that_lead_to_themselves_stay_clips_and_are_not_gone_round(folder):
    (folder / "ring.mp4").symlink_to("ring.mp4")
    (folder / "round").symlink_to("round")
    clips, said = listed(folder)
    assert clips == ["ring.mp4", "v/a.mp4"] and "(no ending 1; " in said


def test_a_linked_folder_is_told_only_where_the_pattern_looks(folder):
    (folder / "w").mkdir()
    (folder / "w" / "link").symlink_to("../v")
    assert listed(folder, "v/**/*.mp4") == (["v/a.mp4"], "")
    (folder / "w" / "b.mp4").touch()
    assert "(the first: w/link; " in listed(folder, "w/**/*.mp4")[1]


def test_where_nothing_is_found_the_refusal_says_what_there_was(folder, tmp_path):
    (folder / "v" / "a.mp4").unlink()
    for name in ("a.txt", "b.txt", "c.y4m"):
        (folder / name).touch()
    (folder / "out.mp4").symlink_to(tmp_path / "away.mp4")
    with pytest.raises(ValueError, match=r"no videos .* 1 file or folder behind links .* 3 files .*\(.txt 2, .y4m 1; "):
        scan(CorpusSettings(str(folder)))


def test_any_number_of_endings_is_held_in_a_few():
    passed = PassedOver("clips")
    for number in range(10_000):
        passed.file(f"clip.{number:05d}")
    assert len(passed._maybe) <= 257 and sum(passed._maybe.values()) == 10_000


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", ["top.mp4"]),
        ("**", ["a/b/deep.mp4", "a/one.mp4", "top.mp4"]),
        ("**/*.mp4", ["a/b/deep.mp4", "a/one.mp4", "top.mp4"]),
        ("a/**/*", ["a/b/deep.mp4", "a/one.mp4"]),
        ("**/b/*", ["a/b/deep.mp4"]),
        ("**/a/**/d*.mp4", ["a/b/deep.mp4"]),
        ("*/*/*.mp4", ["a/b/deep.mp4", "ring/b/deep.mp4"]),
        ("[at]*/o?e.mp4", ["a/one.mp4"]),
        ("top.mp4", ["top.mp4"]),
    ],
)
def test_a_pattern_finds_what_pathlib_would(tmp_path, pattern, found):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "ring").symlink_to("a")
    (tmp_path / "a" / "b" / "up").symlink_to("..")  # round in circles
    for name in ("top.mp4", "a/one.mp4", "a/b/deep.mp4"):
        (tmp_path / name).touch()
    assert listed(tmp_path, pattern) == (found, "")
    globbed = tmp_path.glob(f"{pattern}/*" if pattern.endswith("**") else pattern)
    assert sorted(str(file.relative_to(tmp_path)) for file in globbed if os.path.isfile(file)) == found


def test_two_stars_stand_alone():
    with pytest.raises(ValueError, match=r"corpus\.pattern: `\*\*` must stand alone"):
        CorpusSettings("clips", pattern="v**/*")
