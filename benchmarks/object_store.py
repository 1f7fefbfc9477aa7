"""How full Ray's object store gets where decoding is much faster than captioning, and whether it spills.

    python benchmarks/object_store.py [--clips 2000] [--seconds 110] [--json]

Frames as large as they come (the `wide` view: 10.8 MB a clip) of a clip that decodes at once, for a random model
whose vision tower takes a second for them. After `--seconds` the run is stopped. Figures are of this machine's
/dev/shm, where the store lies, and of the run's own folder of Ray's for what is spilled.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml

CLIP = Path(__file__).parents[1] / "pipelines/demo/clips/shapes/blue-circle-right.mp4"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=110.0)
    parser.add_argument("--json", action="store_true", help="print the JSON object only")
    arguments = parser.parse_args()
    # Ray's folder is short, as a socket's path has room for 107 bytes; its agents may outlive the run.
    short = tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True)
    with tempfile.TemporaryDirectory() as folder, short as ray:
        result = watch(write_pipeline(Path(folder), arguments.clips), arguments.seconds, Path(ray))
    if not arguments.json:
        for name, value in result.items():
            print(f"{name:22} {value}")
    print(json.dumps(result))


def write_pipeline(folder: Path, clips: int) -> Path:
    """The model, a manifest of spans, and the pipeline's YAML."""
    from recap.pllava.random_checkpoint import write_random_checkpoint

    model, manifest = folder / "model", folder / "spans.jsonl"
    write_random_checkpoint(model, seed=0, grid=24, pooling_shape=(16, 4, 4), hidden_size=128, layers=2)
    rows = [{"path": CLIP.name, "start": round(0.001 * number, 3)} for number in range(clips)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"column": "path", "start_column": "start"}
    settings = {
        "corpus": {"kind": "manifest", "path": str(manifest), "root": str(CLIP.parent)} | columns,
        "model": {"checkpoint": str(model)},
        "frames": {"view": "wide"},
        "prompt": {"template": "plain", "instruction": {"detail": "Describe the video."}},
        "engine": {"batch_size": 8, "max_new_tokens": 8},
        "output": {"path": str(folder / "out")},
    }
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def watch(pipeline: Path, seconds: float, ray: Path) -> dict:
    """Run it for so long, with Ray's files below `ray`; what was in the store and beside it, in MB."""
    before, stored, spilled = shutil.disk_usage("/dev/shm").used, [0], [0]
    command = [sys.executable, "-m", "recap", "run", pipeline, "--json"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"RAY_TMPDIR": str(ray)})
    end = time.monotonic() + seconds
    while time.monotonic() < end and run.poll() is None:
        stored.append(shutil.disk_usage("/dev/shm").used - before)
        spilled.append(spilled_bytes(ray))
        time.sleep(0.5)
    run.send_signal(signal.SIGTERM)
    ran = json.loads(run.communicate()[0].splitlines()[-1])
    return {
        "clips": ran["captioned"],
        "memory_mb": psutil.virtual_memory().total // 10**6,
        "most_stored_mb": max(stored) // 10**6,
        "last_stored_mb": stored[-1] // 10**6,
        "most_spilled_mb": max(spilled) // 10**6,
    }


def spilled_bytes(ray: Path) -> int:
    """What Ray has written to disk of its store, below `ray`."""
    return sum(file.stat().st_size for file in ray.rglob("ray_spilled*/**/*") if file.is_file())


if __name__ == "__main__":
    main()
