"""What the pictures of `decode.decoder: fast` lose without the loop filter, by how deep in a group they are.

    python benchmarks/loop_filter.py [--clips FOLDER] [--crf 18 22 26 30 34] [--json]

Writes 10 s of 1080p in groups of 250 frames, without B-frames and with, at each quality (FOLDER keeps them), reads
them with the filter left out everywhere, however long the group, and prints the worst PSNR of a picture against that
of `exact` by its depth: the frames that others are made of from its key frame on. `--json` prints one JSON object as
the last line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from decode_clips import BETWEEN, Kind, write_clips
from frames_fast import psnr_db

from recap.records import FrameRequest
from recap.video import DecodeSettings, InProcessReader, frame_indices, sparse_decoder
from recap.video.needed import depth
from recap.video.probe import inspect
from recap.video.timeline import Timeline

GROUP, FRAMES = 250, 300
REQUEST = FrameRequest(count=48)
EDGES = (0, 16, 32, 64, 128, GROUP)


def kinds_of(codec: str, crfs: list[int]) -> Iterator[Kind]:
    """How the clips are coded that are looked at."""
    for between in (0, BETWEEN[codec]):
        for crf in crfs:
            yield Kind(f"1080p-{codec}-{between}-crf{crf}", "1080p", codec, GROUP, between, crf)


def depths(timeline: Timeline) -> Iterator[int]:
    """Of the wanted frames of a clip whose groups are closed."""
    coded = timeline.coded
    for tick in timeline.pts[frame_indices(len(timeline), REQUEST.count)]:
        last = int(np.flatnonzero(coded.pts == tick)[0])
        first = int(np.flatnonzero(coded.keys[: last + 1])[-1])
        yield depth(coded.pts[first : last + 1])


def losses(path: Path) -> list[tuple[int, float]]:
    """(depth, PSNR in dB) of each picture."""
    exact, fast = (
        InProcessReader(DecodeSettings(decoder=how)).read(str(path), REQUEST).pixels for how in ("exact", "fast")
    )
    each = (psnr_db(*pair) for pair in zip(fast, exact, strict=True))
    return [(deep, db) for deep, db in zip(depths(inspect(str(path))[1]), each, strict=True) if db]


def worst(found: list[tuple[int, float]]) -> dict[str, float]:
    """The lowest PSNR between two EDGES, where there is a picture."""
    between = {f"{low + 1}-{high}": [db for deep, db in found if low < deep <= high] for low, high in pairwise(EDGES)}
    return {name: round(min(all_db), 1) for name, all_db in between.items() if all_db}


def main() -> None:
    """Write the clips, read them and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, default=Path(tempfile.gettempdir()) / "recap-decode-clips")
    parser.add_argument("--crf", type=int, nargs="+", default=[18, 22, 26, 30, 34])
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--codecs", nargs="+", choices=sorted(BETWEEN), default=sorted(BETWEEN))
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    sparse_decoder.UNFILTERED = GROUP
    rows = []
    for codec in options.codecs:
        found: dict[int, list[tuple[int, float]]] = {}
        for kind in kinds_of(codec, options.crf):
            found.setdefault(kind.between, []).extend(losses(*write_clips(options.clips, [kind], options.frames)))
        for between, each in found.items():
            rows.append({"codec": codec, "b_frames": between, "worst_psnr_db": worst(each)})
            print(", ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    if options.json:
        print(json.dumps({"frames": options.frames, "rows": rows}))


if __name__ == "__main__":
    main()
