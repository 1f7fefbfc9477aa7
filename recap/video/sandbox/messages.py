"""What a reader asks of its child and what it is told: records as plain JSON values and back."""

from __future__ import annotations

import os
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from recap.records import ClipError, FrameRequest, Frames
from recap.video.pictures import pixels_shape
from recap.video.span import Span

_TUPLES = ("flags", "times_s")


def question_of(location: str, request: FrameRequest, span: Span) -> dict[str, Any]:
    """A clip to read, for `asked`."""
    return {"location": location, "request": asdict(request), "span": span}


def asked(question: dict[str, Any]) -> tuple[str, FrameRequest, Span]:
    """What `question_of` was given."""
    request = question["request"] | {"tiles": tuple(question["request"]["tiles"])}
    return question["location"], FrameRequest(**request), tuple(question["span"])


def answer_of(frames: Frames, memory: int) -> dict[str, Any]:
    """`frames` without their pixels, which go into the file `memory`."""
    _write(memory, frames.pixels)
    return {"frames": {field.name: getattr(frames, field.name) for field in fields(frames) if field.name != "pixels"}}


def refusal_of(error: ClipError) -> dict[str, Any]:
    """A clip without frames, and why."""
    return {"error": {name: getattr(error, name) for name in ("stage", "kind", "message", "facts")}}


def answered(answer: dict[str, Any], request: FrameRequest, memory: int) -> Frames | ClipError:
    """What `answer_of` or `refusal_of` was given. Raises KeyError, TypeError, ValueError for anything else."""
    if "error" in answer:
        error = answer["error"]
        words = [error[name] for name in ("stage", "kind", "message")]
        _require(all(map(_is_text, words)), words)
        return ClipError(*words, facts_in(error["facts"]))
    return Frames(pixels=_read(memory, pixels_shape(request)), **facts_in(answer["frames"]))


def facts_in(plain: dict[str, Any]) -> dict[str, Any]:
    """Facts as they were before they became JSON. Raises TypeError or ValueError for what no row could hold."""
    for name, value in plain.items():
        _require(_is_fact(name, value), name)
    return {name: tuple(value) if name in _TUPLES else value for name, value in plain.items()}


def _require(makes_sense: bool, what: object) -> None:
    if not makes_sense:
        raise ValueError(f"the child's answer makes no sense: {what!r}")


def _is_fact(name: str, value: Any) -> bool:
    match name:
        case "width" | "height":
            return type(value) is int and 0 <= value < 2**31
        case "coverage" | "fps" | "duration_s":
            return _is_number(value)
        case "codec" | "decoder":
            return _is_text(value)
        case "times_s":
            return all(map(_is_number, value))
        case "flags":
            return all(map(_is_text, value))
    return False


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 2**53)


def _is_text(value: Any) -> bool:
    """Whether it is a string that can be written, as one with half of a surrogate pair cannot."""
    return isinstance(value, str) and value.encode(errors="ignore").decode() == value


def _write(memory: int, pixels: np.ndarray) -> None:
    rest, at = memoryview(np.ascontiguousarray(pixels)).cast("B"), 0
    while at < len(rest):
        at += os.pwrite(memory, rest[at:], at)


def _read(memory: int, shape: tuple[int, ...]) -> np.ndarray:
    # Copied, not mapped: the next clip overwrites them, and a child that cuts the file short cannot kill us.
    pixels, at = np.empty(shape, np.uint8), 0
    rest = memoryview(pixels).cast("B")
    while at < len(rest):
        count = os.preadv(memory, [rest[at:]], at)
        if not count:
            raise ValueError("the child wrote fewer pixels than it was asked for")
        at += count
    return pixels
