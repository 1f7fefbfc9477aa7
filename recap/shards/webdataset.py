"""WebDataset shards whose bytes depend on the records alone."""

from __future__ import annotations

import json
import math
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from itertools import groupby, repeat
from pathlib import Path
from typing import Any

import pyarrow as pa

from recap.shards.videos import VERSION, read_videos
from recap.storage import Location


def write_webdataset(rows: pa.Table, path: Path, video_root: Location | None = None) -> bool:
    """One tar with a sample for each row; with `video_root` and rows `with_versions`, each clip's own file too.

    False where such a file was not there, or not the one that the snapshot has.
    """
    from webdataset import TarWriter  # here, since it loads torch

    files = repeat(({}, True), len(rows)) if video_root is None else read_videos(video_root, rows)
    rows, is_whole = rows.drop_columns([VERSION] if video_root is not None else []), True
    with open(path, "wb") as file, TarWriter(file, encoder=False, mtime=0, user="", group="") as tar:
        for sample, (video, is_as_seen) in zip(samples(rows), files, strict=True):
            is_whole &= is_as_seen
            tar.write(sample | video)
    return is_whole


def samples(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Each row as `__key__` and the content of its files by extension."""
    for record in rows.to_pylist():
        yield dict(_sample(record))


def read_samples(path: Location) -> Iterator[dict[str, Any]]:
    """What a tar holds, in its order: neighbours with one key are a sample."""
    with path.open("rb") as file, tarfile.open(fileobj=file) as archive:
        for key, members in groupby(archive, lambda member: member.name.partition(".")[0]):
            files = {member.name.partition(".")[2]: archive.extractfile(member) for member in members}
            yield {"__key__": key} | {name: file.read() for name, file in files.items() if file is not None}


def _sample(record: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "__key__", record["clip_id"]
    yield "txt", record["caption"].encode()
    yield from _texts(record["captions"])
    yield "json", _json(record).encode()


def _texts(captions: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """`<prompt>.txt` where there are several, `<language>.txt` for the primary caption's translations, and both."""
    originals = [caption for caption in captions if not caption["source_sha"]]
    for caption in captions if len(originals) > 1 else ():
        language = f".{caption['language']}" if caption["source_sha"] else ""
        yield f"{caption['prompt']}{language}.txt", caption["text"].encode()
    for caption in captions:
        if caption["source_sha"] and caption["prompt"] == originals[0]["prompt"]:
            yield f"{caption['language']}.txt", caption["text"].encode()


def _json(record: dict[str, Any]) -> str:
    try:
        return json.dumps(record, ensure_ascii=False, default=_as_text, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(record), ensure_ascii=False, default=_as_text, allow_nan=False)


def _as_text(value: Any) -> str:
    """Of a caller's column, what JSON has no kind for."""
    return b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _finite(value: Any) -> Any:
    """NaN and infinities (a caller's column may hold them) are not JSON."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
