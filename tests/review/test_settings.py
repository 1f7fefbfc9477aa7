from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from recap.review import WEIGHTS, ReviewSettings
from recap.review.settings import NAMES

ADAPTER = TypeAdapter(ReviewSettings)


def test_they_can_be_written_in_yaml():
    settings = ADAPTER.validate_python({"words": {"dense": [30, 300]}, "tolerate": ["too_short"], "on_fail": "filter"})
    assert settings.bounds("dense") == (30, 300) and settings.tolerate == ("too_short",)
    assert ADAPTER.validate_python(ADAPTER.dump_python(settings, mode="json")) == settings
    assert all("description" in field for field in ADAPTER.json_schema()["properties"].values())


@pytest.mark.parametrize(
    "name, value",
    [
        ("repeated_share", 1.5),
        ("language_probability", -0.1),
        ("duplicate_similarity", 2),
        ("latin_share", 2),
        ("loop_words", 1),
        ("echo_words", 0),
        ("loop_times", 1),
        ("compression_ratio", 1),
        ("foreign_letters", -1),
        ("repair_penalty", 0),
        ("repair_length", 0.5),
    ],
)
def test_what_lies_beyond_its_bounds_is_refused(name, value):
    with pytest.raises(ValidationError, match=name):
        ADAPTER.validate_python({name: value})


@pytest.mark.parametrize("name, value", [("length_ratio", (2.0, 1.0)), ("repair_instruction", "{instuction} Answer.")])
def test_what_makes_no_sense_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"review.{name} must be"):
        ReviewSettings(**{name: value})


def test_bounds_and_flags_are_checked():
    with pytest.raises(ValueError, match=r"review.words.dense must be"):
        ReviewSettings(words={"dense": (9, 3)})
    with pytest.raises(ValueError, match=r"review.tolerate: there is no flag 'echos'.*did you mean 'echo'"):
        ReviewSettings(tolerate=("echos",))
    with pytest.raises(ValueError, match=r"no flag 'zzz'; there are echo, empty"):
        ReviewSettings(tolerate=("zzz",))
    with pytest.raises(ValidationError):
        ADAPTER.validate_python({"on_fail": "drop"})


def test_every_flag_may_be_tolerated():
    assert set(NAMES) == set(WEIGHTS)
    assert set(ReviewSettings(tolerate=tuple(WEIGHTS)).tolerate) == set(WEIGHTS)
