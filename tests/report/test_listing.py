from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from recap.jobs import Summary
from recap.planning import Plan
from recap.report.listing import print_listing
from recap.report.plan import print_plan
from recap.report.status import print_status
from recap.report.summary import print_summary
from recap.status import Status

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
    status = Status("out", "complete", None, BOOKS, REASONS, None, None)
    done = {name: BOOKS[name] for name in ("captioned", "quarantined", "filtered")}
    plan = Plan("out", 3, 0, 0, 0, 0, done, REASONS, 0, {}, {}, {})
    for lines in (shown(print_status, status), shown(print_summary, SUMMARY), shown(print_plan, plan)):
        names = [line.split()[0] for line in lines]
        assert names[names.index("probe/empty_file") - 1] == "quarantined", lines


def test_flags_have_a_heading_of_their_own():
    lines = shown(print_summary, SUMMARY)
    names = [line.split()[0] for line in lines]
    assert names[names.index("filtered") + 1] == "remaining"
    assert names[names.index("flags") :][1:3] == ["echo", "too_short"]


def test_a_run_that_captioned_nothing_has_no_pace():
    assert not [line for line in shown(print_summary, SUMMARY) if "clips/s" in line]
    assert [line for line in shown(print_summary, replace(SUMMARY, captioned_now=1)) if "clips/s" in line]
