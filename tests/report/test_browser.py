"""The review page in Debian's Chromium: `make test-browser`."""

from __future__ import annotations

import json
import os
import shutil
import time
from base64 import b64decode
from pathlib import Path

import pyarrow as pa
import pytest

from recap.records import FILTERED, QUARANTINED
from recap.report.page import write_page

from .outputs import caption, row, translation, write_output
from .pictures import filmed

pytestmark = pytest.mark.browser
EVIL = (
    "</script><script>window.pwned=1</script><script src='http://pwned.test/a.js'></script>"
    "<img src=x onerror='window.pwned=2'><svg onload='window.pwned=3'><a href='javascript:window.pwned=4'>x</a>"
    "{{7*7}}${window.pwned=5}"
)


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium. Where there is none the tests fail: this lane is not for skipping."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium")
    assert found, "there is no chromium on the PATH: run make test-browser as root, or install it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """A function that opens a file; what went wrong and what was asked for are checked at the end."""
    context = chromium.new_context(viewport={"width": 1300, "height": 900})
    errors, requests = [], []
    page = context.new_page()
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    context.on("request", lambda request: requests.append(request.url))

    def go(file: Path):
        page.goto(file.as_uri())
        return page

    yield go
    assert page.evaluate("window.pwned") is None
    assert errors == []
    assert requests and all(url.startswith(("data:", "file:")) for url in requests)
    assert [url for url in requests if url.startswith("file:")] == [page.url]
    context.close()


def rows() -> list[dict]:
    """0 and 1 are good, 2 is flagged itself and its file, 3 fails in Chinese, 4 is filtered, 5 quarantined."""
    good = (caption("A red bus."), translation("A red bus.", "一辆红色的公共汽车。"))
    bad = translation("A cat.", "猫", verdict="fail", flags=("off_length", "too_short"), scores=(0.3,))
    return [
        row(0, good),
        row(1, (caption("A lake."),), uri="lakes/blue.mp4"),
        row(2, (caption("A red bus!", flags=("near_duplicate",), scores=(0.99,)),), flags=["variable_rate"]),
        row(3, (caption("A cat.", repairs=1, scores=(0.4, 0.9), flags_before=("echo",)), bad)),
        row(4, (caption("Describe.", verdict="fail", flags=("echo",), scores=(0.1,)),), status=FILTERED),
        row(5, status=QUARANTINED, error_stage="probe", error_kind="empty_file", error_message="the file is empty"),
    ]


@pytest.fixture
def page(opened, tmp_path, monkeypatch):
    """The page on those six, opened."""
    filmed(monkeypatch)
    output = write_output(tmp_path / "out", rows())
    return opened(write_page(output, tmp_path, output / "report/index.html", rows=100, strips=100))


def shown(page) -> list[int]:
    """Ordinals of the visible rows, in their order."""
    return [int(text.removeprefix("#")) for text in page.locator("article:visible .top .push").all_text_contents()]


def click(page, kind: str, value: str) -> list[int]:
    page.click(f"button[data-kind='{kind}'][data-value='{value}']")
    return shown(page)


def number(page, kind: str, value: str) -> int:
    return int(page.inner_text(f"button[data-kind='{kind}'][data-value='{value}'] small"))


def test_the_worst_are_on_top(page):
    assert shown(page) == [5, 4, 3, 2, 0, 1]
    assert page.inner_text("#count") == "6 of the 6 rows, worst first"


@pytest.mark.parametrize(
    ("kind", "value", "left"),
    [
        ("status", "captioned", [3, 2, 0, 1]),
        ("status", "filtered", [4]),
        ("status", "quarantined", [5]),
        ("verdict", "pass", [3, 2, 0, 1]),
        ("verdict", "fail", [4, 3]),
        ("flag", "echo", [4]),
        ("flag", "near_duplicate", [2]),
        ("flag", "off_length", [3]),
        ("flag", "too_short", [3]),
        ("flag", "variable_rate", [2]),
        ("language", "en", [4, 3, 2, 0, 1]),
        ("language", "zh", [3, 0]),
    ],
)
def test_every_filter(page, kind, value, left):
    assert number(page, kind, value) == len(left)
    assert click(page, kind, value) == left
    assert page.inner_text("#count").startswith(f"{len(left)} of the 6 rows")
    assert page.get_attribute(f"button[data-kind='{kind}'][data-value='{value}']", "aria-pressed") == "true"
    assert click(page, kind, value) == [5, 4, 3, 2, 0, 1]


def test_those_are_all_the_filters_there_are(page):
    buttons = page.locator("#filters button").evaluate_all(
        "all => all.map(one => [one.dataset.kind, one.dataset.value])"
    )
    tried = test_every_filter.pytestmark[-1].args[1]
    assert sorted(map(tuple, buttons)) == sorted(case[:2] for case in tried)


def test_filters_of_one_kind_add_up_and_kinds_narrow_one_another(page):
    assert click(page, "flag", "echo") == [4]
    assert click(page, "flag", "off_length") == [4, 3]
    assert click(page, "status", "captioned") == [3]
    assert number(page, "status", "filtered") == 1 and number(page, "status", "quarantined") == 0
    assert click(page, "status", "captioned") == [4, 3] and click(page, "flag", "echo") == [3]


def test_a_language_leaves_its_own_texts_and_their_flags(page):
    assert click(page, "language", "zh") == [3, 0]
    assert set(page.locator(".text:visible").evaluate_all("all => all.map(one => one.dataset.language)")) == {"zh"}
    assert number(page, "flag", "echo") == 0 and number(page, "verdict", "pass") == 1
    assert click(page, "flag", "echo") == [] and page.is_visible("#nothing")


def test_search(page):
    for words, left in [("RED BUS", [2, 0]), ("公共汽车", [0]), ("lakes/", [1]), ("is empty", [5]), ("no such", [])]:
        page.fill("#search", words)
        assert shown(page) == left, words
    page.fill("#search", "")
    assert len(shown(page)) == 6


def test_both_languages_stand_side_by_side_in_their_own(page):
    english, chinese = (
        page.locator(f"article:has-text('公共汽车') .text[data-language={each}]") for each in ("en", "zh")
    )
    left, right = english.bounding_box(), chinese.bounding_box()
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    assert chinese.locator("p").get_attribute("lang") == "zh" and english.locator("p").get_attribute("lang") == "en"


def test_frames_are_drawn_and_provenance_unfolds(page):
    card = page.locator("article").nth(2)
    image = card.locator("img")
    page.wait_for_function("image => image.complete && image.naturalWidth", arg=image.element_handle())
    assert image.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [16 * 96, 54]
    assert b64decode(image.get_attribute("src").partition(",")[2])[:3] == b"\xff\xd8\xff"
    assert card.locator(".times span").all_inner_texts()[:2] == ["0.00 s", "0.25 s"]
    assert "Asked for again: 0.40, then 0.90. The first had echo" in card.text_content()
    card.locator("summary").click()
    facts = card.locator(".facts").inner_text()
    assert "0123456789abcdef" in facts and "1920×1080, h264" in facts and "decord-exact" in facts
    error = page.locator("article").nth(0)
    assert "probe/empty_file the file is empty" in error.inner_text() and not error.locator("img").count()


def test_what_is_not_known_of_a_file_is_left_out(opened, tmp_path, monkeypatch):
    filmed(monkeypatch)
    unknown = {"duration_s": None, "coverage": None, "end_s": 1.5}
    output = write_output(tmp_path / "out", [row(0, status=QUARANTINED, error_stage="decode", **unknown)])
    page = opened(write_page(output, tmp_path, output / "report/index.html", rows=100, strips=100))
    page.click("summary")
    assert page.locator(".facts dt:text-is('file') + dd").inner_text() == "1920×1080, h264, 25 fps"
    assert "start to 1.5 s" in page.locator("article").inner_text()


def test_a_callers_column_hides_nothing_of_ours(opened, tmp_path, monkeypatch):
    filmed(monkeypatch)
    said = (caption("A cat.", model="ours"),)
    output = write_output(tmp_path / "out", [row(0, said, model="theirs")], [pa.field("model", pa.string())])
    page = opened(write_page(output, tmp_path, output / "report/index.html", rows=100, strips=100))
    page.click("summary")
    assert page.locator(".facts dt:text-is('model') + dd").all_inner_texts() == ["ours (en)", "theirs"]


def test_the_account_is_at_the_top(page):
    account = page.inner_text("#account")
    for words in (
        "filtered 1",
        "quarantined 1",
        "probe/broken_header",
        "truncated",
        "11.09",
        "63 %",
        "bound by engine",
    ):
        assert words in account, words


def test_a_run_that_only_translated_has_no_pace(opened, tmp_path, monkeypatch):
    filmed(monkeypatch)
    output = write_output(tmp_path / "out", rows())
    report = output / "report/report.json"
    told = json.loads(report.read_text())
    report.write_text(json.dumps(told | {"speed": told["speed"] | {"pools": {}, "ceiling": None}}))
    account = opened(write_page(output, tmp_path, output / "index.html", rows=9, strips=0)).inner_text("#account")
    assert "4.5 translating" in account and "clips/s" not in account and "tokens/s" not in account


CEILING = {"clips_per_s": 17.7, "share": 1.0, "bound_by": "engine", "calibration_clips": 8}


@pytest.mark.parametrize(
    ("ceiling", "words", "others"),
    [
        (CEILING | {"is_own_pace": True}, "the run's own pace", "no ceiling"),
        (CEILING, "; bound by engine", "own pace"),  # as it was reported before there was `is_own_pace`
        (None, "; no ceiling was measured", "bound by"),
    ],
)
def test_the_ceiling_says_whose_it_is_or_that_there_is_none(opened, tmp_path, ceiling, words, others):
    output = write_output(tmp_path / "out", [])
    report = output / "report/report.json"
    told = json.loads(report.read_text())
    report.write_text(json.dumps(told | {"speed": told["speed"] | {"ceiling": ceiling}}))
    account = opened(write_page(output, tmp_path, output / "index.html", rows=9, strips=0)).inner_text("#account")
    assert words in account and others not in account


def test_a_slow_pace_is_no_standstill(opened, tmp_path):
    output = write_output(tmp_path / "out", [])
    report = output / "report/report.json"
    told = json.loads(report.read_text())
    report.write_text(json.dumps(told | {"speed": told["speed"] | {"clips_per_s": 0.00421}}))
    page = opened(write_page(output, tmp_path, output / "index.html", rows=9, strips=0))
    assert page.inner_text(".figures dt:text-is('clips/s') + dd") == "0.0042"


def test_what_a_file_or_a_model_says_does_not_run(opened, tmp_path, monkeypatch):
    filmed(monkeypatch)
    extra = [pa.field(name, pa.string()) for name in ("note", EVIL, "__proto__")]
    callers = {"note": EVIL, EVIL: EVIL, "__proto__": EVIL}
    evil = {
        "flags": (EVIL,),
        "flags_before": (EVIL,),
        "model": EVIL,
        "prompt": EVIL,
        "repairs": 1,
        "finish_reason": EVIL,
    }
    said = (caption(EVIL, **evil), translation(EVIL, EVIL, **evil | {"language": EVIL}))
    planted = [
        row(0, said, uri=EVIL, flags=[EVIL], codec=EVIL, decoder=EVIL, **callers),
        row(1, status=QUARANTINED, uri=EVIL, error_stage="probe", error_kind=EVIL, error_message=EVIL, **callers),
    ]
    output = write_output(tmp_path / "<script>window.pwned=1<", planted, extra)
    page = opened(write_page(output, tmp_path, tmp_path / "page.html", rows=100, strips=100))
    for summary in page.locator("summary").all():
        summary.click()
    for button in page.locator("#filters button").all():
        button.click()
        button.click()
    page.fill("#search", EVIL)
    assert shown(page) == [1, 0]
    assert page.locator("body script").count() == 2 and page.locator("svg, a, article script").count() == 0
    for place in ("article >> nth=0", "article >> nth=1", ".error", ".text p >> nth=1", ".facts >> nth=0"):
        assert EVIL in page.locator(place).inner_text(), place


def test_a_script_that_got_into_the_page_would_not_run(chromium, tmp_path, monkeypatch):
    """The second wall: were the escaping broken, the policy would still hold."""
    filmed(monkeypatch)
    output = write_output(tmp_path / "out", rows())
    file = write_page(output, tmp_path, output / "report/index.html", rows=100, strips=100)
    planted = "<script>window.pwned=1</script><img src=x onerror='window.pwned=2'>"
    file.write_text(file.read_text().replace("<main", f"{planted}<main"))
    page, refused = chromium.new_page(), []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(file.as_uri())
    assert page.locator("img[src=x]").count() == 1 and page.evaluate("window.pwned") is None
    assert sum("Content Security Policy" in words for words in refused) == 3, refused
    assert len(shown(page)) == 6
    page.close()


def test_a_thousand_clips_open_at_once(opened, tmp_path, monkeypatch):
    filmed(monkeypatch)
    text = "A chef in a white apron slices three red peppers behind a steel counter. " * 4
    many = [
        row(place, (caption(text), translation(text, "一位厨师在台面后切三个红辣椒。" * 6))) for place in range(1000)
    ]
    many[700] = row(700, (caption("Different.", verdict="fail", flags=("too_short",), scores=(0.6,)),))
    output = write_output(tmp_path / "out", many)
    file = write_page(output, tmp_path, output / "report/index.html", rows=1000, strips=1000)
    started = time.monotonic()
    page = opened(file)
    page.wait_for_function("document.querySelector('article img').naturalWidth > 0")
    opening_s = time.monotonic() - started
    clicking_s = page.evaluate("""() => {
      const started = performance.now();
      document.querySelector("button[data-value=too_short]").click();
      document.body.getBoundingClientRect();
      return (performance.now() - started) / 1000;
    }""")
    assert shown(page) == [700]
    started = time.monotonic()
    click(page, "flag", "too_short")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    last = page.locator("article img").last
    page.wait_for_function("image => image.naturalWidth > 0", arg=last.element_handle())
    print(
        f"{file.stat().st_size / 1e6:.1f} MB: open in {opening_s:.2f} s, a filter in {clicking_s:.3f} s, "
        f"the end in {time.monotonic() - started:.2f} s"
    )
    assert opening_s < 8 and clicking_s < 1


def test_without_scripts_it_says_what_it_needs(chromium, tmp_path, monkeypatch):
    filmed(monkeypatch)
    output = write_output(tmp_path / "out", rows())
    file = write_page(output, tmp_path, output / "report/index.html", rows=100, strips=100)
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert "Allow scripts" in page.locator("noscript").inner_text()
    context.close()
