"""Frames of an output's clips, decoded once more by the pipeline's own reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recap.records import FrameRequest, Frames
from recap.storage import Fetcher, Location, below
from recap.video import DecodeSettings, open_reader


class ClipFrames:
    """Reads clips of rows whose files lie below `root`. Whoever opens it closes it."""

    def __init__(self, root: Location, settings: DecodeSettings | None = None):
        self.root = root
        self._reader, self._fetcher = open_reader(settings or DecodeSettings()), Fetcher()

    def of(self, row: Mapping[str, Any], request: FrameRequest) -> Frames:
        """What `request` asks for of the clip with the row's `uri`, `start_s` and `end_s`; raises ClipError."""
        with self._fetcher.local(below(self.root, row["uri"])) as clip:
            return self._reader.read(clip, request, start_s=row["start_s"], end_s=row["end_s"])

    def close(self) -> None:
        """End the reader's processes and delete what was fetched."""
        self._reader.close()
        self._fetcher.close()
