from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest
from pydantic import TypeAdapter, ValidationError

from recap.bounds import Count, Share, UpToAMillion


@dataclass(frozen=True)
class Room:
    count: Count = 1
    share: Share = 0
    seconds: UpToAMillion | None = None


ADAPTER = TypeAdapter(Room)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"share": 1.1}, {"share": -0.1}, {"seconds": 0}, {"seconds": 2e6}])
def test_what_lies_beyond_is_refused(wrong):
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(wrong)


def test_what_lies_within_is_taken():
    assert ADAPTER.validate_python({"count": 1, "share": 1, "seconds": 1e6}) == Room(1, 1, 1e6)


def test_schemas_tell_them():
    told = ADAPTER.json_schema()["properties"]
    assert told["count"]["minimum"] == 1
    assert (told["share"]["minimum"], told["share"]["maximum"]) == (0, 1)
    assert told["seconds"]["anyOf"][0]["exclusiveMinimum"] == 0


def test_they_can_be_said_without_pydantic():
    code = "import sys; sys.modules['pydantic'] = None; import recap.engines.settings, recap.video.settings"
    subprocess.run([sys.executable, "-c", code], check=True)
