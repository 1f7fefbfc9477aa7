"""The rows of a finished output, read through its manifest."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recap.ledger import Damaged, Manifest, fragment_folder, newest_records, read_manifest, read_recipe
from recap.storage import Location, source


def rows_of(output: Location, columns: Sequence[str], *, latest: bool = False) -> Iterator[dict[str, Any]]:
    """`columns` of the rows in the shards, or of what a run has committed `latest`, shards cut from it or not.

    The latter as the engine left it: without translations, openings untrimmed. ValueError where there is nothing yet.
    """
    if not latest:
        return read_rows(output, read_manifest(output), columns)
    return newest_records(fragment_folder(output, read_recipe(output).keys["caption_key"]), columns)


def read_rows(output: Location, manifest: Manifest, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """`columns` (all: None) of every row, the captioned ones first; from the Parquet shards where there are any.

    Raises Damaged for a shard that is missing or cannot be read, ValueError where a run has replaced it meanwhile.
    """
    kinds = {shard.kind for shard in manifest.shards}
    for kind in ("parquet" if "parquet" in kinds else "webdataset", "quarantine"):
        for shard in manifest.shards:
            if shard.kind == kind:
                yield from _whole(output, output / shard.path, columns)


def _whole(output: Location, path: Location, columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    try:
        yield from _shard(path, columns)
    except (OSError, ValueError, pa.ArrowException, tarfile.TarError) as error:
        if isinstance(error, OSError) and error.errno and not isinstance(error, FileNotFoundError):
            raise  # a disk's or a store's, which says what is wrong
        if isinstance(error, FileNotFoundError) and read_manifest(output).generation not in path.parts:
            raise ValueError(f"{output}: a run has put other shards in place meanwhile; run this again") from error
        what = "it is missing" if isinstance(error, FileNotFoundError) else f"it cannot be read: {error}"
        mended_by = (
            f"run the same pipeline again, which cuts it anew (`recap verify {output}` names all that is damaged)"
        )
        raise Damaged(path, what, mended_by) from error


def _shard(path: Location, columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        yield from pq.read_table(source(path), columns=columns and list(columns)).to_pylist()
        return
    with path.open("rb") as file, tarfile.open(fileobj=file) as archive:
        yield from (json.load(archive.extractfile(member)) for member in archive if member.name.endswith(".json"))
