from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from recap.graph.sizing import Machine
from recap.jobs import Summary
from recap.planning import Plan
from recap.report.listing import pace, print_listing
from recap.report.plan import print_plan
from recap.report.speed import Ceiling, GraphBooks, Wall, speed_account
from recap.report.status import print_status
from recap.report.summary import print_summary
from recap.status import Status
from recap.timing import Spent

PATH = "/a/very/long-folder/" + "x" * 60 + "/shards"
REASONS = {"probe/empty_file": 2}
BOOKS = {"clips": 3, "captioned": 1, "quarantined": 2, "filtered": 0, "remaining": 0}
SUMMARY = Summary(
    **BOOKS,
    vanished=0,
    captioned_now=0,
    seconds=0.01,
    reasons=REASONS,
    flags={"before": {"echo": 2}, "after": {"echo": 1, "too_short": 1}},
    translated={},
    untranslated={},
    output="out",
    generation="abc",
    complete=True,
    shards=[],
)


def shown(print_, value):
    console = Console(file=io.StringIO(), width=60)
    print_(value, console)
    return console.file.getvalue().splitlines()


def test_words_are_folded_and_paths_are_not():
    words = "decoding 82%, " * 8
    lines = shown(print_listing, [("path", PATH), ("decode pool", words), ("[red]", "[b]")])
    assert lines[0] == "path         " + PATH
    assert lines[1].startswith("decode pool  decoding") and lines[2].startswith("             ")
    assert lines[-1] == "[red]        [b]"
    assert all(line == line.rstrip() for line in lines) and max(map(len, lines[1:])) <= 60


def test_reasons_stand_below_what_was_quarantined():
    status = Status("out", "complete", None, BOOKS, {}, REASONS, None, None)
    done = {name: BOOKS[name] for name in ("captioned", "quarantined", "filtered")}
    plan = Plan("out", 3, 0, 0, 0, 0, done, REASONS, 0, {}, {}, {}, {})
    for lines in (shown(print_status, status), shown(print_summary, SUMMARY), shown(print_plan, plan)):
        names = [line.split()[0] for line in lines]
        assert names[names.index("probe/empty_file") - 1] == "quarantined", lines


def test_what_is_passed_over_is_shown_and_not_obeyed():
    plan = Plan("out", 1, 1, 0, 0, 0, {}, {}, 1, {}, {}, {}, {}, ("passed over: a\x1b[2J.y4m",))
    assert "passed over: a\\x1b[2J.y4m" in "".join(shown(print_plan, plan))


def test_flags_have_a_heading_of_their_own():
    lines = shown(print_summary, SUMMARY)
    names = [line.split()[0] for line in lines]
    assert names[names.index("filtered") + 1] == "remaining"
    assert names[names.index("flags") :][1:3] == ["echo", "too_short"]


def test_the_parts_of_a_run_stand_below_its_seconds_and_a_pace_where_there_is_one():
    lines = shown(print_summary, SUMMARY)
    assert not [line for line in lines if "clips/s" in line] and ["in", "this", "run", "0"] in [
        line.split() for line in lines
    ]
    spent = [Spent(role, 1, 5.0, {}, {}, {"clips": 10}) for role in ("decode", "caption")]
    for graphs, paced in (([GraphBooks(spent, Machine(2, 0))], 1), ([], 0)):
        speed = speed_account(Wall(1.0, 6.0, 2.0, 0.5), graphs, 0, 1)
        lines = shown(print_summary, replace(SUMMARY, captioned_now=1, speed=speed))
        assert ["planning", "1.0"] in [line.split() for line in lines] and "finishing" in "".join(lines)
        assert len([line for line in lines if line.startswith("clips/s")]) == paced
        assert not [line for line in lines if "in this run" in line]


CEILINGS = {
    "17.00, bound by engine": Ceiling(17.0, 0.5, "engine", 8),
    "20.00 (the run's own pace": Ceiling(20.0, 1.0, "engine", 8, is_own_pace=True),
    "not measured": None,
}


@pytest.mark.parametrize("words", CEILINGS)
def test_the_ceiling_says_whose_it_is_or_why_there_is_none(words):
    spent = [Spent(role, 1, 5.0, {}, {}, {"clips": 10}) for role in ("decode", "caption")]
    speed = speed_account(Wall(0.0, 6.0, 0.0, 0.0), [GraphBooks(spent, Machine(2, 0))], 0, 1)
    lines = shown(print_summary, replace(SUMMARY, speed=replace(speed, ceiling=CEILINGS[words])))
    (line,) = (line for line in lines if line.startswith("  ceiling"))
    assert line.split(maxsplit=1)[1].startswith(words)
    assert len([line for line in lines if line.startswith("  reached")]) == (CEILINGS[words] is not None)


@pytest.mark.parametrize(
    ("clips_per_s", "shown"), [(0, "0.00"), (0.00421, "0.0042"), (0.099, "0.099"), (0.1, "0.10"), (11.094, "11.09")]
)
def test_a_slow_pace_is_no_standstill(clips_per_s, shown):
    assert pace(clips_per_s) == shown
