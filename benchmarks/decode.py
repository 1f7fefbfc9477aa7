"""How many clips a second one process reads into model-size frames, clip by clip.

    python benchmarks/decode.py --json [files…]

Without files, the demo's real clips. Each is read again and again for at least `--seconds`, after one
reading that does not count. `--json` prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from recap.records import FrameRequest
from recap.video import DecodeSettings, InProcessReader, Reader

CLIPS = Path(__file__).parents[1] / "pipelines/demo/clips"


def measure(reader: Reader, path: Path, request: FrameRequest, seconds: float) -> dict:
    """Clips and core-seconds of one file: {clip, decoder, width, height, clips_per_s, core_s_per_clip}."""
    frames = reader.read(str(path), request)
    start, cores, clips = time.perf_counter(), time.process_time(), 0
    while not clips or time.perf_counter() - start < seconds:
        reader.read(str(path), request)
        clips += 1
    return {
        "clip": path.name,
        "decoder": frames.decoder,
        "width": frames.width,
        "height": frames.height,
        "clips_per_s": round(clips / (time.perf_counter() - start), 3),
        "core_s_per_clip": round((time.process_time() - cores) / clips, 3),
    }


def main() -> None:
    """Read the clips and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=sorted(CLIPS.glob("*.mp4")))
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--seconds", type=float, default=3.0, help="time given to each clip")
    parser.add_argument("--scaling", choices=("exact", "fast"), default="exact")
    options = parser.parse_args()
    reader, rows = InProcessReader(DecodeSettings(scaling=options.scaling)), []
    for path in options.files:
        rows.append(measure(reader, path, FrameRequest(), options.seconds))
        print("{clip}: {clips_per_s} clips/s, {core_s_per_clip} core-s a clip, {decoder}".format(**rows[-1]))
    reader.close()
    if options.json:
        print(json.dumps({"scaling": options.scaling, "processes": 1, "clips": rows}))


if __name__ == "__main__":
    main()
