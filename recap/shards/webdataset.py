"""WebDataset shards whose bytes depend on the records alone."""

from __future__ import annotations

import errno
import json
import logging
import math
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from recap.storage import ANSWERS, Location, is_cut_off, read_bytes

log = logging.getLogger(__name__)


def write_webdataset(rows: pa.Table, path: Path, video_root: Location | None = None) -> None:
    """One tar with a sample for each row; with `video_root`, each clip's own file too."""
    from webdataset import TarWriter  # here, since it loads torch

    with open(path, "wb") as file, TarWriter(file, encoder=False, mtime=0, user="", group="") as tar:
        for sample in samples(rows, video_root):
            tar.write(sample)


def samples(rows: pa.Table, video_root: Location | None = None) -> Iterator[dict[str, Any]]:
    """Each row as `__key__` and the content of its files by extension."""
    for record in rows.to_pylist():
        yield dict(_sample(record, video_root))


def read_samples(path: Location) -> Iterator[dict[str, Any]]:
    """What a tar holds, in its order: neighbours with one key are a sample."""
    with path.open("rb") as file, tarfile.open(fileobj=file) as archive:
        for key, members in groupby(archive, lambda member: member.name.partition(".")[0]):
            files = {member.name.partition(".")[2]: archive.extractfile(member) for member in members}
            yield {"__key__": key} | {name: file.read() for name, file in files.items() if file is not None}


def _sample(record: dict[str, Any], video_root: Location | None) -> Iterator[tuple[str, Any]]:
    yield "__key__", record["clip_id"]
    yield "txt", record["caption"].encode()
    yield from _texts(record["captions"])
    yield "json", _json(record).encode()
    if video_root is not None:
        yield from _video(video_root / record["uri"])


def _texts(captions: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """`<prompt>.txt` where there are several, `<language>.txt` for the primary caption's translations, and both."""
    originals = [caption for caption in captions if not caption["source_sha"]]
    for caption in captions if len(originals) > 1 else ():
        language = f".{caption['language']}" if caption["source_sha"] else ""
        yield f"{caption['prompt']}{language}.txt", caption["text"].encode()
    for caption in captions:
        if caption["source_sha"] and caption["prompt"] == originals[0]["prompt"]:
            yield f"{caption['language']}.txt", caption["text"].encode()


def _video(path: Location) -> Iterator[tuple[str, bytes]]:
    """The clip's file under its extension, or `video`; a clip whose file is gone by now keeps its caption."""
    extension = path.suffix[1:].lower()
    try:
        yield "video" if extension in ("", "txt", "json") else extension, read_bytes(path)
    except OSError as error:
        if not isinstance(error, ANSWERS) or is_cut_off(path.parent):
            said = f"{path} cannot be read for its shard ({error.strerror}); is the corpus still in reach?"
            raise OSError(errno.EIO, said) from error
        log.warning("%s is not in its shard: %s", path.name, error.strerror)


def _json(record: dict[str, Any]) -> str:
    try:
        return json.dumps(record, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(record), ensure_ascii=False, default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    """NaN and infinities (a caller's column may hold them) are not JSON."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
