"""The columns of a record, in Arrow's terms, and the way from records to tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from recap.records import Caption, Record

CAPTION = pa.struct(
    [
        ("prompt", pa.string()),
        ("language", pa.string()),
        ("text", pa.string()),
        ("source_sha", pa.string()),
        ("model", pa.string()),
        ("finish_reason", pa.string()),
        ("output_tokens", pa.int32()),
        ("flags", pa.list_(pa.string())),
        ("verdict", pa.string()),
        ("repairs", pa.int32()),
        ("scores", pa.list_(pa.float64())),
        ("flags_before", pa.list_(pa.string())),
    ]
)

RECORD = pa.schema(
    [
        ("clip_id", pa.string()),
        ("ordinal", pa.int64()),
        ("uri", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("status", pa.string()),
        ("caption", pa.string()),
        ("captions", pa.list_(CAPTION)),
        ("flags", pa.list_(pa.string())),
        ("frame_times_s", pa.list_(pa.float64())),
        ("coverage", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("fps", pa.float64()),
        ("duration_s", pa.float64()),
        ("codec", pa.string()),
        ("decoder", pa.string()),
        ("caption_key", pa.string()),
        ("review_key", pa.string()),
        ("error_stage", pa.string()),
        ("error_kind", pa.string()),
        ("error_message", pa.string()),
    ]
)

FRAGMENT = RECORD.append(pa.field("source_version", pa.string()))
RESERVED = frozenset({*FRAGMENT.names, "state"})  # no column of the caller's may be called so


def fragment_table(records: Sequence[Record]) -> pa.Table:
    """Records as a fragment holds them."""
    return pa.Table.from_pylist([_row(record) for record in records], schema=FRAGMENT)


def _row(record: Record) -> dict:
    clip = record.clip
    row = {name: getattr(record, name) for name in RECORD.names if hasattr(record, name)}
    row |= {name: getattr(clip, name) for name in ("clip_id", "ordinal", "uri", "start_s", "end_s")}
    row |= {"source_version": clip.source_version, "captions": _captions(record.captions)}
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _captions(captions: Iterable[Caption]) -> list[dict]:
    return [asdict(caption) for caption in captions]


def captions_of(rows: Iterable[Mapping[str, Any]]) -> tuple[Caption, ...]:
    """A column's captions, as `to_pylist` gives them, as they were."""
    return tuple(Caption(**{name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}) for row in rows)


def shard_schema(extra: Iterable[pa.Field] = ()) -> pa.Schema:
    """A record's columns, then the caller's."""
    return pa.schema([*RECORD, *extra])
