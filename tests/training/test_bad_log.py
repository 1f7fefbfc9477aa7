from __future__ import annotations

import pytest

from recap.training.bad_log import BadLog
from recap.training.conversation import Turn
from recap.training.samples import Bad, Sample


def sample(path: str, question: str = "what?") -> Sample:
    return Sample(path, "video", (Turn(question, "a bird"),))


def bad(path: str) -> Bad:
    return sample(path).bad("the file is missing")


def paths(log: BadLog) -> list[str]:
    return [path for path, _ in log.read()]


@pytest.fixture
def log(tmp_path) -> BadLog:
    return BadLog(tmp_path / "bad.jsonl")


@pytest.mark.parametrize("name", ["a\u2028b.mp4", "a\x85b.mp4", "a\nb.mp4", "\udce9.mp4", "\ud83d.mp4", "café.mp4"])
def test_any_name_is_one_line(log, name):
    log.begin([bad(name)], ())
    log.write(bad(f"next {name}"))
    assert paths(log) == [name, f"next {name}"]
    assert log.path.read_bytes().count(b"\n") == 2


def test_a_line_that_a_kill_tore_is_passed_over(log):
    log.write(bad("a.mp4"))
    whole = log.path.read_text()
    log.path.write_text(whole + whole[:20])
    assert paths(log) == ["a.mp4"]
    log.begin([], ())
    log.write(bad("b.mp4"))
    assert paths(log) == ["b.mp4"]


def test_every_conversation_about_a_file_counts_and_each_once(log):
    for question in ("one", "two", "one"):
        log.write(sample("a.mp4", question).bad("decode/crashed", damaged=True))
    assert paths(log) == ["a.mp4", "a.mp4"]


def test_what_could_not_be_decoded_counts_until_file_sample_or_settings_are_others(tmp_path):
    log, clip = BadLog(tmp_path / "bad.jsonl", "exact"), tmp_path / "a.mp4"
    clip.write_bytes(b"cut")
    good, mended = (Sample(str(clip), "video", (Turn("q", "a"),), start_s) for start_s in (99.0, 1.0))
    log.write(good.bad("decode/empty_span", damaged=True))
    for kept, settings, samples in ((1, "exact", [good]), (0, "fast", [good]), (0, "exact", [mended])):
        before = log.path.read_text()
        BadLog(log.path, settings).begin([], samples)
        assert len(log.read()) == kept
        log.path.write_text(before)
    clip.write_bytes(b"whole")
    log.begin([], [good])
    assert log.read() == []
