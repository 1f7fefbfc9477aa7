from __future__ import annotations

import math

import pytest

from recap.review.facts import COLOURS, figures, lost_colours, lost_numbers, numeral


@pytest.mark.parametrize(
    "run, value",
    [
        ("三", 3),
        ("十", 10),
        ("十二", 12),
        ("二十", 20),
        ("三十五", 35),
        ("两百零四", 204),
        ("一千", 1000),
        ("三万二千", 32000),
        ("千万" * 100, math.inf),
    ],
)
def test_chinese_numerals(run, value):
    assert numeral(run) == value


def test_figures_with_thousands_decimals_clocks_and_lists():
    assert figures("1,200 of 3.5 km at 14:22, rows 1,2 and 10.0.0.7") == {1200, 3.5, 14, 22, 1, 2, 10, 0, 7}
    assert figures("none") == set()


@pytest.mark.parametrize(
    "source, translation, lost",
    [
        ("Two dogs chase three balls.", "两只狗追三个球。", ()),
        ("Two dogs chase three balls.", "一群狗追三个球。", (2,)),
        ("A pair of boots costs 1,200 yen at 6:20.", "一双靴子在六点二十分卖1200日元。", ()),
        ("The number 60103 is on the beam.", "横梁上有一个号码。", (60103,)),
        ("One man waits.", "男人在等。", ()),
        ("Twelve cups stand there.", "那里放着12个杯子。", ()),
    ],
)
def test_numbers_must_come_along(source, translation, lost):
    assert lost_numbers(source, translation) == lost


def test_colours_must_come_along():
    assert lost_colours("A red kite over grey and gray roofs.", "红色风筝飞过灰色屋顶。") == ()
    assert lost_colours("A red kite and a blue one.", "一只红色的风筝。") == ("blue",)
    assert lost_colours("A reddish, colourful kite.", "一只风筝。") == ()


def test_every_colour_has_its_signs():
    for colour, signs in COLOURS.items():
        assert signs and all(lost_colours(f"a {colour} hat", f"{sign}色的帽子") == () for sign in signs)
