from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from recap import jobs
from recap.cli import main
from recap.pipeline import load_pipeline
from recap.records import FILTERED, QUARANTINED, ClipError
from recap.report.frames import ClipFrames
from recap.report.page import write_page
from recap.report.page.assembly import _part
from recap.report.page.strips import LONGEST

from .outputs import caption, row, translation, write_output
from .pictures import filmed

EVIL = "</script><script>window.pwned=1</script><!--<img src=x onerror=window.pwned=2>"


class Parsed(HTMLParser):
    """The page's elements, what they point at, and the data it carries."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.targets, self.data, self._holds_data = [], [], "", False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.targets += [value for name, value in attributes if name in ("src", "href", "action", "srcset")]
        self._holds_data = dict(attributes).get("type") == "application/json"

    def handle_data(self, data):
        self.data += data if self._holds_data else ""
        self._holds_data = False


def paged(folder, written, extra=(), **options) -> Parsed:
    output = write_output(folder / "out", written, extra)
    file = write_page(output, folder, output / "report/index.html", **{"rows": 1000, "strips": 1000} | options)
    return Parsed(file.read_text())


def entries(parsed: Parsed) -> list[dict]:
    return json.loads(parsed.data)["entries"]


@pytest.fixture(name="filmed")
def _filmed(monkeypatch):
    return filmed(monkeypatch)


def test_the_worst_come_first(tmp_path, filmed):
    good = caption("good")
    rows = [
        row(0, (good,)),
        row(1, (caption("tolerated", flags=("near_duplicate",), scores=(0.99,)),)),
        row(2, (caption("bad", verdict="fail", flags=("echo",), scores=(0.3, 0.2)),)),
        row(3, (), status=QUARANTINED, error_stage="probe", error_kind="empty_file", error_message="it is empty"),
        row(4, (good, translation("good", "坏", verdict="fail", flags=("off_length",), scores=(0.1,)))),
        row(5, (caption("filtered", verdict="fail", flags=("empty",), scores=(0.05,)),), status=FILTERED),
        row(6, (good,), flags=["variable_rate"]),
        row(7, (caption("not reviewed", verdict="", scores=()),)),
    ]
    found = [entry["ordinal"] for entry in entries(paged(tmp_path, rows))]
    assert found == [3, 5, 4, 2, 1, 6, 0, 7]


def test_no_more_than_the_worst_rows_are_written(tmp_path, filmed):
    rows = [row(place, (caption("good"),)) for place in range(20)]
    rows[17] = row(17, (caption("bad", verdict="fail", scores=(0.1,)),))
    parsed = paged(tmp_path, rows, rows=3)
    assert [entry["ordinal"] for entry in entries(parsed)] == [17, 0, 1]
    assert json.loads(parsed.data)["books"]["clips"] == 20


def test_translations_stand_beside_their_caption(tmp_path, filmed):
    said = (
        caption("A cat.", prompt="dense"),
        caption("A cat!", prompt="short"),
        translation("A cat.", "一只猫。", prompt="dense"),
        translation("A cat!", "猫！", prompt="short"),
    )
    (entry,) = entries(paged(tmp_path, [row(0, said)]))
    assert [[each["text"] for each in texts] for texts in entry["texts"]] == [
        ["A cat.", "一只猫。"],
        ["A cat!", "猫！"],
    ]


def test_nothing_that_it_shows_is_html(tmp_path, filmed):
    extra = [pa.field("note", pa.string()), pa.field("boxes", pa.list_(pa.float64())), pa.field("thumb", pa.binary())]
    callers = {"note": EVIL, "boxes": [1.0, float("nan")], "thumb": b"<\xff"}
    rows = [
        row(0, (caption(EVIL), translation(EVIL, EVIL)), uri=EVIL, **callers),
        row(1, (), status=QUARANTINED, error_stage="probe", error_kind=EVIL, error_message=EVIL, **callers),
    ]
    parsed = paged(tmp_path / "<script>alert(1)</script>&amp;", rows, extra)
    assert sorted(set(parsed.tags) - {"meta", "html", "head", "body"}) == [
        *("code", "header", "link", "main", "nav", "noscript", "p", "script", "style", "title")
    ]
    assert parsed.tags.count("script") == 2
    quarantined, captioned = entries(parsed)
    assert captioned["uri"] == captioned["texts"][0][1]["text"] == captioned["columns"]["note"] == EVIL
    assert quarantined["error_message"] == EVIL and captioned["columns"]["boxes"] == "[1.0, NaN]"
    assert captioned["columns"]["thumb"] == '"2 bytes"'


def test_it_asks_nothing_of_a_network(tmp_path, filmed):
    parsed = paged(tmp_path, [row(0, (caption("A cat."),))])
    assert parsed.targets == ["data:,"]
    parts = "".join(_part(f"page.{kind}") for kind in ("html", "css", "js"))
    outward = r"https?:|url\(|@import|fetch\(|XMLHttp|WebSocket|sendBeacon|import\(|innerHTML|insertAdjacent|eval\("
    assert not re.findall(outward, parts)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', (tmp_path / "out/report/index.html").read_text())
    assert policy[1].startswith("default-src 'none'; img-src data:; style-src 'sha256-")


def test_a_thousand_clips_make_a_page_that_can_be_mailed_around(tmp_path, filmed):
    text = "A chef in a white apron slices three red peppers behind a steel counter. " * 4
    rows = [
        row(place, (caption(text), translation(text, "一位厨师在台面后切三个红辣椒。" * 6))) for place in range(1000)
    ]
    paged(tmp_path, rows)
    size = (tmp_path / "out/report/index.html").stat().st_size
    print(f"{size / 1e6:.1f} MB")
    assert len(filmed) == 1000 and 5e6 < size < 25e6


def test_strips_are_bounded_and_keep_the_pictures_shape(tmp_path, filmed):
    rows = [row(place, (caption("good"),)) for place in range(5)]
    rows[1] |= {"width": 480, "height": 480, "frame_times_s": [0.0, 1.0, 2.0, 3.0]}
    wide, square, *rest = [entry["strip"] for entry in entries(paged(tmp_path, rows, strips=2))]
    assert (wide["width"], wide["height"], len(wide["times_s"])) == (16 * 96, 54, 16)
    assert (square["width"], square["height"], len(square["times_s"])) == (4 * 72, 72, 4)
    assert len(filmed) == 2 and all("--strips" in strip["missing"] for strip in rest)


def test_a_clip_of_an_odd_shape_fits_a_jpeg(tmp_path, filmed):
    (found,) = entries(paged(tmp_path, [row(0, (caption("a line"),), width=8192, height=8)]))
    assert (found["strip"]["width"], found["strip"]["height"]) == (16 * LONGEST, 1)


def test_the_folder_that_one_is_in_is_named(tmp_path, filmed, monkeypatch):
    monkeypatch.chdir(write_output(tmp_path / "out", []))
    page = write_page(Path(), tmp_path, Path("index.html"), rows=1, strips=1).read_text()
    assert "<title>out: recap</title>" in page and json.loads(Parsed(page).data)["output"] == str(tmp_path / "out")


def test_a_clip_that_is_gone_says_so_and_a_broken_one_is_not_tried_again(tmp_path, monkeypatch):
    read = []

    def of(_self, found, _request):
        read.append(found["uri"])
        raise ClipError("probe", "missing", "there is no file at the clip's address")

    monkeypatch.setattr(ClipFrames, "of", of)
    broken = {"status": QUARANTINED, "error_stage": "decode", "error_kind": "timeout", "error_message": "too slow"}
    first, second = entries(paged(tmp_path, [row(0, (caption("good"),)), row(1, **broken)]))
    assert first["strip"] is None and read == ["clip-0.mp4"]
    assert second["strip"] == {"missing": "there is no file at the clip's address"}


def test_the_speed_of_another_generations_run_is_not_shown(tmp_path, filmed):
    account = json.loads(paged(tmp_path, [row(0, (caption("good"),))]).data)
    assert account["speed"]["ceiling"]["bound_by"] == "engine"
    output = tmp_path / "out"
    (output / "report/report.json").write_text(json.dumps({"generation": "before", "speed": account["speed"]}))
    again = write_page(output, tmp_path, output / "p.html", rows=1, strips=1)
    assert json.loads(Parsed(again.read_text()).data)["speed"] is None


@pytest.mark.parametrize("formats", ["parquet", "webdataset"])
def test_a_runs_page_has_its_frames(tmp_path, home, formats):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/red.mp4").write_bytes((home / "pipelines/demo/clips/shapes/red-circle-right.mp4").read_bytes())
    (tmp_path / "clips/broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42 and nothing more")
    (tmp_path / "p.yaml").write_text(
        f"corpus: {{path: {tmp_path / 'clips'}}}\nengine: {{kind: rehearsal}}\n"
        f"output: {{path: {tmp_path / 'out'}, formats: [{formats}]}}\n"
    )
    jobs.run(load_pipeline(tmp_path / "p.yaml"), runner="loop")
    result = CliRunner().invoke(main, ["view", str(tmp_path / "out")])
    assert result.exit_code == 0 and "red.mp4" in result.stdout, result.output
    assert result.stdout.splitlines()[-1] == str(tmp_path / "out/report/index.html")
    broken, red = entries(Parsed((tmp_path / "out/report/index.html").read_text()))
    assert (broken["status"], broken["strip"]) == (QUARANTINED, None) and broken["error_message"]
    assert red["strip"]["jpeg"] and red["strip"]["times_s"] == pytest.approx(red["frame_times_s"])


def test_an_output_without_a_run(tmp_path):
    result = CliRunner().invoke(main, ["view", str(tmp_path), "--page", str(tmp_path / "page.html")])
    assert result.exit_code == 2 and "no run has begun" in result.output
    assert not (tmp_path / "page.html").exists()
