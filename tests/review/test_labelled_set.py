"""The checks on the labelled set: precision and recall of each flag, on patterns that no threshold was tuned on."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from recap.review import FLAGS, Context, review
from recap.review.draft import words


@pytest.fixture(scope="module")
def bench(home):
    sys.path.insert(0, str(home / "benchmarks"))
    import review_checks
    import review_set

    yield review_checks, review_set
    sys.path.remove(str(home / "benchmarks"))


@pytest.fixture(scope="module")
def held_out(bench):
    return bench[1].Builder("held_out").examples()


def test_every_class_is_found_without_false_alarms(bench, held_out):
    table = bench[0].accuracy(held_out) | {"near_duplicate": bench[0].duplicates("held_out")}
    assert set(table) == {"empty", "near_duplicate", *FLAGS}
    poor = {name: row for name, row in table.items() if row["precision"] < 0.95 or row["recall"] < 0.9}
    assert not poor
    assert all(row["positives"] >= 15 for row in table.values())


def test_the_halves_share_no_pattern(bench):
    tune, held_out = (
        {line for section, lines in bench[1].read_patterns(half).items() for line in lines if len(line) > 12}
        for half in bench[1].HALVES
    )
    assert not {line for line in tune & held_out if "{clean}" not in line}


def test_it_is_large_varied_and_always_the_same(bench, held_out):
    examples = held_out + bench[1].Builder("tune").examples()
    clean = {example.caption.text for example in examples if not example.flags}
    assert len(examples) >= 400 and len(clean) >= 120
    assert sum(example.caption.language == "zh" for example in examples) >= 40
    assert bench[1].Builder("held_out").examples() == held_out


def test_reviewing_costs_no_more_than_a_hundred_searches_for_words(held_out):
    context = Context(identify=lambda text: {"en": 1.0})
    tries = [
        (
            cpu_seconds(lambda each: review(each.caption, context), held_out),
            cpu_seconds(lambda each: words(each.caption.text), held_out),
        )
        for _ in range(3)
    ]
    reviewing, searching = map(min, zip(*tries, strict=True))
    assert reviewing < 100 * searching


def cpu_seconds(call, values):
    started = time.process_time()
    for value in values:
        call(value)
    return time.process_time() - started


def test_the_benchmarks_last_line_is_one_object(home):
    command = [sys.executable, str(home / "benchmarks/review_checks.py"), "--half", "tune", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["flags"]["repetition"]["recall"] > 0.9 and result["review_ms"] > 0 and result["identify_ms"] > 0
