from __future__ import annotations

import io
from types import SimpleNamespace

from rich.console import Console

from recap.jobs import Summary
from recap.records import CAPTIONED, QUARANTINED
from recap.report import progress as module
from recap.report.progress import Progress
from recap.report.summary import print_summary


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=140)


def drive(progress: Progress) -> str:
    with progress:
        progress.start(3, {CAPTIONED: 5})
        progress.set_decoded(2)
        for status in (CAPTIONED, QUARANTINED, CAPTIONED):
            progress.add(status)
    return progress.console.file.getvalue()


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end():
    lines = drive(Progress(console(terminal=False), every_s=1000)).splitlines()
    assert lines[0] == "3 clips to caption, 5 done before"
    assert len(lines) == 2
    assert lines[1].startswith("decoded 3/3, captioned 2, quarantined 1,") and "clips/s" in lines[1]
    assert len(drive(Progress(console(terminal=False), every_s=0)).splitlines()) == 5


def test_a_phase_without_bars_is_told_now_and_then(monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(module, "time", clock)
    progress = Progress(console(terminal=False))
    for clock.now in (1.0, 6.0, 7.0, 12.0):
        progress.listed(int(clock.now))
    progress.far("cutting shards", 1, of=9)
    clock.now = 20.0
    progress.far("cutting shards", 4, of=9)
    lines = progress.console.file.getvalue().splitlines()
    assert lines == [*(f"listing the corpus: {clips} clips so far" for clips in (6, 12)), "cutting shards: 4/9 clips"]


def test_the_time_left_is_that_of_captioning_and_not_of_loading_models(monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(module, "time", clock)
    progress = Progress(console(terminal=False))
    progress.start(130, {})
    for clock.now, clips in ((100.0, 10), (110.0, 20)):
        for _ in range(clips):
            progress.add(CAPTIONED)
    first, second = progress.console.file.getvalue().splitlines()[1:]
    assert first.endswith("captioned 1, quarantined 0, 0.01 clips/s, no estimate yet")
    assert second.endswith("captioned 11, quarantined 0, 0.10 clips/s, 1190 s left")


def test_a_line_in_a_log_is_never_folded():
    progress = Progress(Console(file=io.StringIO(), width=80), every_s=0)
    progress.start(123_456_789, {})
    progress.set_decoded(123_456_000)
    assert progress.console.file.getvalue().splitlines()[1].endswith("0.00 clips/s, no estimate yet")


def test_a_terminal_gets_bars():
    shown = drive(Progress(console(terminal=True)))
    assert "decode" in shown and "3/3" in shown and "1 quarantined" in shown


def test_a_terminal_that_moves_no_cursor_gets_lines():
    dumb = Console(file=io.StringIO(), force_terminal=True, width=140, _environ={"TERM": "dumb"})
    assert "decoded 3/3, captioned 2" in drive(Progress(dumb, every_s=0))


def test_the_table_at_the_end_names_every_reason_and_place():
    shards = [{"kind": "parquet"}, {"kind": "parquet"}, {"kind": "quarantine"}]
    summary = Summary(
        clips=9,
        captioned=6,
        quarantined=2,
        filtered=0,
        remaining=1,
        vanished=0,
        captioned_now=4,
        seconds=2.0,
        reasons={"probe/empty_file": 2},
        flags={"before": {"truncated": 3, "echo": 1}, "after": {"truncated": 1, "echo": 1}},
        translated={"zh": 5},
        untranslated={"zh": 0},
        output="out",
        generation="abc",
        complete=False,
        shards=shards,
    )
    target = console(terminal=False)
    print_summary(summary, target)
    rows = dict(line.split(maxsplit=1) for line in target.file.getvalue().splitlines())
    assert rows["probe/empty_file"].strip() == "2" and rows["seconds"].strip() == "2.0"
    assert rows["truncated"].strip() == "1, before repair 3" and rows["echo"].strip() == "1"
    assert "in zh" in target.file.getvalue()
    assert rows["parquet"].strip() == "out/shards/abc/parquet"
