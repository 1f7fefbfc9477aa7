"""A contact sheet: frames of the first clips beside what was said of them, as one PNG."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recap.records import CAPTIONED, ClipError, FrameRequest
from recap.report.frames import ClipFrames
from recap.report.rows import rows_of
from recap.storage import Location, written
from recap.video import DecodeSettings

FRAMES, THUMB, GAP, TEXT_WIDTH, FONT_SIZE = 6, 96, 6, 360, 15
COLUMNS = ["uri", "start_s", "end_s", "status", "caption"]
KINDS = (".bmp", ".gif", ".jpeg", ".jpg", ".pdf", ".png", ".tif", ".tiff", ".webp")
LETTERS_A_LINE = 46


def write_sheet(output: Location, root: Location, file: Location, rows: int, *, latest: bool = False) -> Location:
    """Draw the first `rows` captioned clips of `output`, whose files lie below `root`, into `file`; or the `latest`.

    A clip that can no longer be read has no pictures. ValueError where no run has finished or nothing is
    captioned, and for a file of no known kind.
    """
    if file.suffix.lower() not in KINDS:
        raise ValueError(f"{file}: no picture has such a name; let it end in .png")
    records = (row for row in rows_of(output, COLUMNS, latest=latest) if row["status"] == CAPTIONED)
    strips = [_strip(row, pictures) for row, pictures in _shown(islice(records, rows), root)]
    if not strips:
        raise ValueError(f"{output} holds no caption to draw")
    sheet = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips)), "white")
    for place, strip in enumerate(strips):
        sheet.paste(strip, (0, place * strip.height))
    with written(file) as path:
        sheet.save(path, Image.registered_extensions()[file.suffix.lower()])
    return file


def _shown(rows: Iterator[Mapping[str, Any]], root: Location) -> Iterator[tuple[Mapping[str, Any], np.ndarray]]:
    request = FrameRequest(FRAMES, THUMB, "pad")
    with closing(ClipFrames(root, DecodeSettings(truncated="caption"))) as frames:
        for row in rows:
            try:
                yield row, frames.of(row, request).pixels
            except ClipError:
                yield row, np.full((FRAMES, THUMB, THUMB, 3), 230, np.uint8)


def _strip(row: Mapping[str, Any], pictures: np.ndarray) -> Image.Image:
    width = FRAMES * (THUMB + GAP) + GAP
    strip = Image.new("RGB", (width + TEXT_WIDTH, THUMB + 2 * GAP), "white")
    for place, picture in enumerate(pictures):
        strip.paste(Image.fromarray(picture), (GAP + place * (THUMB + GAP), GAP))
    text = "\n".join(textwrap.wrap(row["caption"], LETTERS_A_LINE, max_lines=5, placeholder=" …"))
    ImageDraw.Draw(strip).multiline_text((width, GAP), text, "black", ImageFont.load_default(FONT_SIZE), spacing=4)
    return strip
