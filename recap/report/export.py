"""Captions as one CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from typing import Any, BinaryIO

from recap.ledger import Manifest, read_manifest
from recap.records import CAPTIONED
from recap.report.rows import read_rows
from recap.storage import Location, written

CLIP = ("clip_id", "uri", "start_s", "end_s")
CAPTION = ("prompt", "language", "text", "model", "finish_reason", "output_tokens", "verdict", "repairs")
HEADER = (*CLIP, *CAPTION, "flags", "score")
# What a cell begins with that a spreadsheet computes; one of them takes full-width signs for plain ones.
FORMULA = (*"=+-@＝＋－＠", "\t", "\r")


def write_csv(output: Location, file: Location, *, bom: bool = False) -> int:
    """Write a row for each caption and translation of the captioned clips, under `HEADER`; returns how many.

    UTF-8. With `bom` it is for spreadsheets: it begins with a byte-order mark, and an apostrophe goes before a
    text that would be taken for a formula. Without, every text is as it is in the shards. Raises ValueError where
    no run has finished.
    """
    rows = _rows(output, read_manifest(output))
    with written(file) as path, path.open("wb") as stream:
        return _write(rows, stream, bom)


def stream_csv(output: Location, stream: BinaryIO, *, bom: bool = False) -> int:
    """The same to `stream`, row by row."""
    return _write(_rows(output, read_manifest(output)), stream, bom)


def _write(rows: Iterable[list[Any]], stream: BinaryIO, bom: bool) -> int:
    text, captions = TextIOWrapper(stream, encoding="utf-8-sig" if bom else "utf-8", newline=""), 0
    try:
        writer = csv.writer(text)
        writer.writerow(HEADER)
        for row in rows:
            writer.writerow([_inert(cell) for cell in row] if bom else row)
            captions += 1
    finally:
        text.detach()  # the stream is its owner's to close
    return captions


def _rows(output: Location, manifest: Manifest) -> Iterator[list[Any]]:
    for row in read_rows(output, manifest, [*CLIP, "status", "captions"]):
        for caption in row["captions"] if row["status"] == CAPTIONED else ():
            clip, said = [row[name] for name in CLIP], [caption[name] for name in CAPTION]
            yield [*clip, *said, " ".join(caption["flags"]), max(caption["scores"], default=None)]


def _inert(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
