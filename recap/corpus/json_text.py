"""What a jsonl file looks like to who has it open: lines, and what is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

_BLANKS = re.compile(r"\s*")
_KIND_CHANGES = re.compile(r"Column\((/[^)]*)\) changed from")
_KINDS = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}


def json_rows(text: str) -> Iterator[tuple[int, Any]]:
    """The file line on which each value begins, and the value.

    Raises ValueError that begins with the line of what is no JSON, or of a name that stands twice in an object.
    """
    decode = json.JSONDecoder(strict=False, object_pairs_hook=_object).raw_decode
    place = _BLANKS.match(text).end()
    line = text.count("\n", 0, place) + 1
    while place < len(text):
        try:
            value, end = decode(text, place)
        except json.JSONDecodeError as error:
            begun = f", in what begins on line {line}" if error.lineno > line else ""
            raise ValueError(f"line {error.lineno}: {error.msg}{begun}") from None
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from None
        yield line, value
        end = _BLANKS.match(text, end).end()
        line += text.count("\n", place, end)
        place = end


def json_fault(text: str, reason: str) -> str | None:
    """Why it is no table, and on which line; `reason` is what the reader said."""
    changes, kind = _KIND_CHANGES.match(reason.removeprefix("JSON parse error: ")), None
    try:
        for line, value in json_rows(text):
            if not isinstance(value, dict):
                return f"line {line} holds {_kind(value)}: write one object a line, {{…}}, and nothing around them"
            for found in _at(value, changes[1].split("/")[1:]) if changes else ():
                kind = kind or _kind(found)
                if _kind(found) != kind:
                    return f"line {line}: {changes[1][1:]!r} holds {_kind(found)}, and {kind} before: give it one kind"
    except ValueError as error:
        return str(error)
    return None


def rounded(value: Any, kind: pa.DataType) -> Iterator[int]:
    """The whole numbers in `value`, at any depth, that a column of type `kind` holds as others."""
    if isinstance(value, int) and pa.types.is_floating(kind):
        yield from () if _is_float(value) else (value,)
    elif isinstance(value, list) and pa.types.is_list(kind):
        for inner in value:
            yield from rounded(inner, kind.value_type)
    elif isinstance(value, dict) and pa.types.is_struct(kind):
        for field in kind:
            yield from rounded(value.get(field.name), field.type)


def _is_float(number: int) -> bool:
    try:
        return int(float(number)) == number
    except OverflowError:
        return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a name stands twice in an object: {', '.join(name for name, _ in pairs)}")
    return found


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null")


def _at(value: Any, path: list[str]) -> Iterator[Any]:
    """What `value` holds at a path of names, `[]` being each of a list; null is of any kind."""
    if not path:
        yield from () if value is None else (value,)
    elif path[0] == "[]" and isinstance(value, list):
        for inner in value:
            yield from _at(inner, path[1:])
    elif isinstance(value, dict) and path[0] in value:
        yield from _at(value[path[0]], path[1:])
