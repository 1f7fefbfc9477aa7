"""Whether a file ends before its header says it should."""

from __future__ import annotations

import os

from recap.video.asf import declared_bytes
from recap.video.ebml import is_whole
from recap.video.probe import Probe
from recap.video.timeline import Timeline

FRAMES_SPARED = 2
PART_SPARED = 0.02
CLOCK_S = 0.001  # the grain of Matroska's and FLV's times


def missing(path: str, probe: Probe, timeline: Timeline) -> str:
    """What of the truncated file at `path` is there, in plain words; empty for a file that is whole.

    A file is truncated if it misses its declared frame count or length by more than
    max(2 frames, 2 %), an ASF file if it misses 2 % of its declared bytes. Formats that declare none of these are
    never truncated, nor is a Matroska file that has all of its bytes: its length may count how long the last frame
    stays.
    """
    found = timeline.slots + timeline.hidden
    declared = probe.declared_frames
    if declared and declared - found > max(FRAMES_SPARED, PART_SPARED * declared):
        return f"{found} of {declared} declared frames"
    if probe.container == "asf" and (short := _missing_bytes(path)):
        return short
    if not probe.declared_s:
        return ""
    spared = CLOCK_S + max(FRAMES_SPARED / probe.fps, PART_SPARED * probe.declared_s)
    length = _length_s(probe.declared_s + spared, timeline)
    if probe.declared_s - length > spared and not (probe.container == "matroska" and is_whole(path)):
        return f"{length:.2f} of {probe.declared_s:.2f} declared seconds"
    return ""


def _missing_bytes(path: str) -> str:
    declared, found = declared_bytes(path) or 0, os.path.getsize(path)
    return f"{found} of {declared} declared bytes" if declared - found > PART_SPARED * declared else ""


def _length_s(most_s: float, timeline: Timeline) -> float:
    # Muxers disagree on whether the length counts what comes before the first packet: believe the kinder.
    return timeline.end_s if timeline.end_s <= most_s else timeline.end_s - timeline.start_s
