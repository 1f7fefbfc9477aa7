"""WebDataset shards whose bytes depend on the records alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from webdataset import TarWriter


def write_webdataset(rows: pa.Table, path: Path, video_root: Path | None = None) -> None:
    """One tar with a sample for each row; with `video_root`, each clip's own file too."""
    with open(path, "wb") as file, TarWriter(file, encoder=False, mtime=0, user="", group="") as tar:
        for record in rows.to_pylist():
            tar.write(dict(_sample(record, video_root)))


def _sample(record: dict[str, Any], video_root: Path | None) -> Iterator[tuple[str, Any]]:
    yield "__key__", record["clip_id"]
    yield "txt", record["caption"].encode()
    if len(record["captions"]) > 1:
        for caption in record["captions"]:
            yield f"{caption['prompt']}.txt", caption["text"].encode()
    yield "json", _json(record).encode()
    if video_root is not None:
        video = video_root / record["uri"]
        yield video.suffix[1:].lower(), video.read_bytes()


def _json(record: dict[str, Any]) -> str:
    plain = {name: _finite(value) for name, value in record.items()}
    return json.dumps(plain, ensure_ascii=False, default=str)


def _finite(value: Any) -> Any:
    """NaN and infinities (a caller's column may hold them) are not JSON."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
