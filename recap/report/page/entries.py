"""A shard's row as the page's script reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recap.ledger.schema import RECORD

NOT_SHOWN = {"caption", "captions"}  # the first of the captions once more, and what is regrouped below


def entry(row: Mapping[str, Any], strip: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record's columns under their names, `texts` by caption, the caller's `columns` as words, and the `strip`."""
    facts = {name: row[name] for name in RECORD.names if name not in NOT_SHOWN}
    columns = {name: _words(value) for name, value in row.items() if name not in RECORD.names and value is not None}
    texts = list(_beside(row["captions"]))
    return facts | {"texts": texts, "columns": columns, "strip": strip}


def _beside(captions: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Each caption with its translations behind it."""
    for caption in captions:
        if not caption["source_sha"]:
            others = (each for each in captions if each["source_sha"] and each["prompt"] == caption["prompt"])
            yield [caption, *others]


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_word)


def _word(value: Any) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
