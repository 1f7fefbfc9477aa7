from __future__ import annotations

import io
import logging
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from recap.ledger import read_manifest, write_manifest
from recap.records import QUARANTINED
from recap.report.log_file import log_file
from recap.report.rows import read_rows
from recap.report.view import print_captions

from .outputs import caption, row, translation, write_output


def shown(folder, *rows) -> list[str]:
    console = Console(file=io.StringIO(), width=60)
    print_captions(write_output(folder / "out", rows), 10, console)
    return console.file.getvalue().splitlines()


def test_translations_stand_below_their_caption(tmp_path):
    said = (caption("A [bold]cat[/bold].", prompt="dense"), caption("Cat.", prompt="short"))
    others = (translation("x", "一只猫。", prompt="dense"), translation("x", "猫。", prompt="short"))
    _, first, second, *rest = shown(tmp_path, row(0, (*said, *others)))
    assert first.split(None, 1)[1].strip() == "A [bold]cat[/bold]." and second.strip() == "一只猫。"
    assert not any("Cat." in line for line in rest)


def test_what_a_file_says_moves_no_cursor(tmp_path):
    lines = shown(tmp_path, row(0, (caption("A \x1b[2Jcat\x9b1m."),), uri="\x1b]0;a\x07.mp4"))
    assert r"\x1b]0;a\x07.mp4  A \x1b[2Jcat\x9b1m." in lines[1]


def test_what_a_file_says_is_shown_in_its_own_order(tmp_path):
    lines = shown(tmp_path, row(0, (caption("\u2067שני חתולים\u2069."),), uri="a\u202egpj.mp4"))
    assert r"a\u202egpj.mp4  \u2067שני חתולים\u2069." in lines[1]


def test_what_is_logged_of_a_file_moves_no_cursor(tmp_path):
    with log_file(tmp_path / "run.log"):
        logging.getLogger("recap").warning("%s: strike 1", "\x1b[2J.mp4")
    assert (tmp_path / "run.log").read_text().endswith(" WARNING \\x1b[2J.mp4: strike 1\n")


def test_each_run_of_a_process_has_its_own_log(tmp_path):
    log, both = logging.getLogger("recap.jobs"), threading.Barrier(2, timeout=20)

    def run(name):
        with log_file(tmp_path / name):
            both.wait()
            log.info("of %s", name)
            both.wait()
        both.wait()
        if name == "first":
            log.info("of none")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, ("first", "second")))
    for name in ("first", "second"):
        assert (tmp_path / name).read_text().endswith(f" INFO of {name}\n")
        assert (tmp_path / name).read_text().count("\n") == 1
    assert logging.getLogger("recap").level == logging.NOTSET


def test_an_outputs_path_is_printed_as_it_is(tmp_path):
    *_, last = shown(tmp_path / "o[/x]", row(0, (caption("A cat."),)))
    assert last == f"{tmp_path}/o[/x]/out/shards/abc holds them all"


def test_wide_signs_keep_the_columns(tmp_path):
    long = "一只猫在浅色背景上慢慢地向右移动，" * 6
    lines = shown(tmp_path, row(0, (caption(long),), uri="猫猫.mp4"), row(1, (caption("Cat."),), uri="a-cat.mp4"))
    starts = {cell_len(re.match(r"\S*\s+", line)[0]) for line in lines[:-1]}
    assert long in "".join("".join(lines).split())
    assert len(starts) == 1 and all(cell_len(line) <= 60 for line in lines[:-1])


@pytest.mark.parametrize(
    ("start_s", "end_s", "named"),
    [(None, 2.5, "a.mp4, 0 s to 2.5 s"), (36612.345, None, "a.mp4, 36612.345 s to its end"), (None, None, "a.mp4")],
)
def test_spans_of_a_file_are_told_apart(tmp_path, start_s, end_s, named):
    _, line, *_ = shown(tmp_path, row(0, (caption("Cat."),), uri="a.mp4", start_s=start_s, end_s=end_s))
    assert line.startswith(f"{named}  Cat.")


def test_a_clip_without_a_caption_says_why(tmp_path):
    gone = {"status": QUARANTINED, "error_stage": "probe", "error_kind": "missing", "error_message": "no file"}
    assert any("(quarantined: no file)" in line for line in shown(tmp_path, row(0, **gone)))


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_a_shard_that_is_missing_or_damaged_is_named(tmp_path, spoil):
    shown(tmp_path, row(0, (caption("Cat."),)))
    (shard,) = (tmp_path / "out" / "shards").glob("*/parquet/*.parquet")
    spoil(shard)
    with pytest.raises(ValueError, match=f"{shard} .*run the same pipeline again"):
        print_captions(tmp_path / "out", 1, Console(file=io.StringIO()))


def test_shards_that_a_run_replaces_meanwhile_are_not_called_damaged(tmp_path):
    shown(tmp_path, row(0, (caption("Cat."),)), row(1, status=QUARANTINED, error_message="no file"))
    output = tmp_path / "out"
    rows = read_rows(output, manifest := read_manifest(output))
    next(rows)
    shutil.rmtree(output / "shards")
    write_manifest(output, replace(manifest, generation="def"))
    with pytest.raises(ValueError, match="other shards in place meanwhile; run this again"):
        list(rows)
