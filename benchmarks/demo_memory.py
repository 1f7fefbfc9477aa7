"""Wall time of the demo and the peak memory of each kind of process in it.

python benchmarks/demo_memory.py [--json] [OVERRIDES]...
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

HOME = Path(__file__).parents[1]
KINDS = {"decode worker": "MapBatches(_Decode)", "caption actor": "MapBatches(_Caption)"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the JSON object only.")
@click.argument("overrides", nargs=-1)
def main(as_json: bool, overrides: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        recap = Path(sys.executable).with_name("recap")
        started = time.monotonic()
        run = subprocess.Popen(
            [recap, "run", "pipelines/demo.yaml", f"output.path={folder}/out", *overrides],
            cwd=HOME,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        peaks = watch(run)
        seconds = time.monotonic() - started
    result = {"exit": run.returncode, "seconds": round(seconds, 1), "peak_mb": peaks}
    if not as_json:
        click.echo("\n".join(f"{kind}: {peak} MB" for kind, peak in peaks.items()))
    click.echo(json.dumps(result))
    sys.exit(run.returncode)


def watch(run: subprocess.Popen) -> dict[str, int]:
    """The highest resident size, in MB, seen in each kind of process of its session until `run` ends."""
    peaks = dict.fromkeys(["driver", *KINDS], 0)
    while run.poll() is None:
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and (kind := kind_of(folder, run.pid)):
                peaks[kind] = max(peaks[kind], peak_mb(folder))
        time.sleep(0.05)
    return peaks


def kind_of(folder: Path, session: int) -> str | None:
    if folder.name == str(session):
        return "driver"
    try:
        if os.getsid(int(folder.name)) != session:
            return None
        title = (folder / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None
    return next((kind for kind, mark in KINDS.items() if mark in title), None)


def peak_mb(folder: Path) -> int:
    try:
        match = re.search(r"VmHWM:\s+(\d+)", (folder / "status").read_text())
    except OSError:
        return 0
    return int(match.group(1)) // 1024 if match else 0


if __name__ == "__main__":
    main()
