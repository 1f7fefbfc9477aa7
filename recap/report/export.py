"""Captions as one CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from typing import Any

from recap.ledger import read_manifest
from recap.records import CAPTIONED
from recap.report.rows import read_rows
from recap.storage import Location, written

CLIP = ("clip_id", "uri", "start_s", "end_s")
CAPTION = ("prompt", "language", "text", "model", "finish_reason", "output_tokens", "verdict", "repairs")
HEADER = (*CLIP, *CAPTION, "flags", "score")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a cell begins with that a spreadsheet computes


def write_csv(output: Location, file: Location, *, bom: bool = False) -> int:
    """Write a row for each caption and translation of the captioned clips, under `HEADER`; returns how many.

    UTF-8. With `bom` it is for spreadsheets: it begins with a byte-order mark, and an apostrophe goes before a
    text that would be taken for a formula. Without, every text is as it is in the shards. Raises ValueError where
    no run has finished.
    """
    manifest, captions = read_manifest(output), 0
    with written(file) as path, path.open("w", encoding="utf-8-sig" if bom else "utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEADER)
        for row in _rows(output, manifest):
            writer.writerow([_inert(cell) for cell in row] if bom else row)
            captions += 1
    return captions


def _rows(output: Location, manifest: Mapping[str, Any]) -> Iterator[list[Any]]:
    for row in read_rows(output, manifest, [*CLIP, "status", "captions"]):
        for caption in row["captions"] if row["status"] == CAPTIONED else ():
            clip, said = [row[name] for name in CLIP], [caption[name] for name in CAPTION]
            yield [*clip, *said, " ".join(caption["flags"]), max(caption["scores"], default=None)]


def _inert(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
