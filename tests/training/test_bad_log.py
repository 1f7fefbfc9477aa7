from __future__ import annotations

import pytest

from recap.training.bad_log import BadLog
from recap.training.samples import Bad


@pytest.fixture
def log(tmp_path) -> BadLog:
    return BadLog(tmp_path / "bad.jsonl")


@pytest.mark.parametrize("name", ["a\u2028b.mp4", "a\x85b.mp4", "a\nb.mp4", "\udce9.mp4", "\ud83d.mp4", "café.mp4"])
def test_any_name_is_one_line(log, name):
    log.begin([Bad(name, "the file is missing")], ())
    log.write(Bad(f"next {name}", "the file is missing"))
    assert list(log.read()) == [name, f"next {name}"]
    assert log.path.read_bytes().count(b"\n") == 2


def test_a_line_that_a_kill_tore_is_passed_over(log):
    log.write(Bad("a.mp4", "the file is missing"))
    whole = log.path.read_text()
    log.path.write_text(whole + whole[:20])
    assert list(log.read()) == ["a.mp4"]
    log.begin([], ())
    log.write(Bad("b.mp4", "the file is missing"))
    assert list(log.read()) == ["b.mp4"]
