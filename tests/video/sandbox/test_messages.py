from __future__ import annotations

import json
import os

import numpy as np
import pytest

from recap.records import ClipError, FrameRequest, Frames
from recap.video.sandbox.messages import answer_of, answered, refusal_of

REQUEST = FrameRequest(count=2, size=4)
FACTS = {"coverage": 0.5, "width": 8, "height": 8, "fps": 25, "duration_s": 1.0, "codec": "h264", "decoder": "pyav"}


@pytest.fixture
def memory():
    descriptor = os.memfd_create("pixels")
    yield descriptor
    os.close(descriptor)


def test_frames_and_refusals_come_back_as_they_were(memory):
    frames = Frames(np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3), (0.0, 1.5), flags=("vfr",), **FACTS)
    found = answered(json.loads(json.dumps(answer_of(frames, memory))), REQUEST, memory)
    assert np.array_equal(found.pixels, frames.pixels)
    assert all(getattr(found, name) == getattr(frames, name) for name in set(Frames.__slots__) - {"pixels"})
    error = ClipError("decode", "damaged", "a frame is damaged", {"width": 8, "flags": ("vfr",)})
    found = answered(json.loads(json.dumps(refusal_of(error))), REQUEST, memory)
    assert (found.stage, found.kind, found.message, found.facts) == (
        error.stage,
        error.kind,
        error.message,
        error.facts,
    )


@pytest.mark.parametrize(
    "odd",
    [
        {"width": "wide"},
        {"width": 2**31},
        {"height": True},
        {"fps": None},
        {"fps": 10**400},
        {"codec": 5},
        {"codec": "\ud83d"},
        {"flags": ["\ud83d"]},
        {"flags": 5},
        {"times_s": ["0"]},
        {"clip_id": "another"},
    ],
)
def test_what_no_row_could_hold_is_no_answer(memory, odd):
    os.truncate(memory, 96)
    facts = FACTS | {"times_s": [0, 1.5], "flags": []}
    assert answered({"frames": facts}, REQUEST, memory).times_s == (0, 1.5)
    for answer in ({"frames": facts | odd}, {"error": {"stage": "decode", "kind": "k", "message": "m", "facts": odd}}):
        with pytest.raises((TypeError, ValueError)):
            answered(answer, REQUEST, memory)


@pytest.mark.parametrize("word", ["stage", "kind", "message"])
@pytest.mark.parametrize("odd", [None, 5, "\ud83d"])
def test_words_that_no_row_could_hold_are_no_answer(memory, word, odd):
    error = {"stage": "decode", "kind": "k", "message": "m", "facts": {}}
    with pytest.raises((TypeError, ValueError)):
        answered({"error": error | {word: odd}}, REQUEST, memory)
