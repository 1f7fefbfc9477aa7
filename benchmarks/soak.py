"""A long run on Ray with a rehearsal engine and real small clips: does the memory of any of its processes grow?

python benchmarks/soak.py --minutes 30 [--json]

Each process counts with its own memory: pages of files, such as libraries, are shared by a number of processes that
changes. What it has at the end (median of the last fifth) is held against what it had after warming up (the fifth
after the first). Exits 1 where a kind of process holds over 5 %, and over 10 MB, more. Linux only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import click
from resident import anonymous_bytes

HOME = Path(__file__).parents[1]
CLIPS = HOME / "pipelines/demo/clips"
ALLOWED = 1.05
OTHERS = "the largest of Ray's other helpers"
NOISE_KB = 10 * 1024  # a decoder's child goes up and down by as much until it is replaced
EVERY_S = 2.0
# What a command line holds, and what the process is called here; the first that fits.
KINDS = {
    "MapBatches(_Decode)": "decode actor",
    "MapBatches(_Caption)": "caption actor",
    "recap.video.sandbox.child": "decoder child",
    "ray::Coordinator": "coordinator",
    "ray::_StatsActor": "Ray Data's statistics actor",
    "raylet/raylet": "raylet",
    "gcs_server": "GCS server",
    "ray::DashboardAgent": "Ray's agents",
    "ray::RuntimeEnvAgent": "Ray's agents",
    "recap run": "driver",
}
Sample = dict[str, int]  # KB by kind of process


@click.command()
@click.option("--minutes", default=30.0, show_default=True, help="How long the run may take.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON object only.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to keep every sample as JSON.")
def main(minutes: float, as_json: bool, out: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples, captioned = soak(Path(folder), minutes * 60)
    if out:
        out.write_text(json.dumps(samples))
    held = compare(samples)
    if not as_json:
        print_table(held, captioned, len(samples))
    grown = [kind for kind, (first, last) in held.items() if last > max(ALLOWED * first, first + NOISE_KB)]
    click.echo(json.dumps({"captioned": captioned, "samples": len(samples), "held_kb": held, "grown": grown}))
    if grown:
        sys.exit(f"more than {ALLOWED - 1:.0%} was added to: {', '.join(grown)}")


def soak(folder: Path, seconds: float) -> tuple[list[Sample], int]:
    """The samples of a run that is stopped by SIGTERM after `seconds`, and how many clips it captioned."""
    command = [Path(sys.executable).with_name("recap"), "run", pipeline(folder, clips=int(seconds * 100)), "--json"]
    run = subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    samples, end = [], time.monotonic() + seconds
    while time.monotonic() < end and run.poll() is None:
        samples.append(sample(run.pid))
        time.sleep(EVERY_S)
    os.killpg(run.pid, signal.SIGTERM)
    said = run.communicate(timeout=120)[0]
    assert run.returncode == 128 + signal.SIGTERM, (run.returncode, said)
    return samples, json.loads(said)["captioned_now"]


def pipeline(folder: Path, clips: int) -> Path:
    """A YAML over spans of the demo's clips, each another clip."""
    names = ["realshort.mp4", *(path.relative_to(CLIPS).as_posix() for path in sorted(CLIPS.glob("shapes/*.mp4")))]
    with open(folder / "clips.csv", "w") as file:
        file.write("path,start,end\n")
        for number in range(clips):
            turn, place = divmod(number, len(names))
            file.write(f"{names[place]},{turn % 400 / 1000},{0.8 + turn // 400 / 1000}\n")
    path = folder / "soak.yaml"
    path.write_text(
        f"corpus: {{kind: manifest, path: {folder / 'clips.csv'}, root: {CLIPS}, "
        "start_column: start, end_column: end}\n"
        f"engine: {{kind: rehearsal}}\noutput: {{path: {folder / 'out'}}}\n"
    )
    return path


def sample(session: int) -> Sample:
    """Own memory in KB of the processes of a session, by kind; of several the largest."""
    held: Sample = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getsid(int(entry.name)) == session:
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                kind = next((kind for mark, kind in KINDS.items() if mark in title), OTHERS)
                held[kind] = max(held.get(kind, 0), anonymous_bytes(entry) // 1024)
        except OSError:
            continue
    return held


def compare(samples: list[Sample]) -> dict[str, tuple[float, float]]:
    """KB after warming up and at the end, by kind of process."""
    fifth = max(1, len(samples) // 5)
    parts = samples[fifth : 2 * fifth], samples[-fifth:]
    held = {kind: tuple(middle(part, kind) for part in parts) for kind in {kind for each in samples for kind in each}}
    return {kind: both for kind, both in sorted(held.items()) if all(both)}


def print_table(held: dict[str, tuple[float, float]], captioned: int, count: int) -> None:
    click.echo(f"{captioned} clips captioned, {count} samples\n")
    click.echo("| process | after warming up | at the end | |\n|---|---|---|---|")
    for kind, (first, last) in held.items():
        click.echo(f"| {kind} | {first / 1024:.1f} MB | {last / 1024:.1f} MB | {last / first - 1:+.1%} |")


def middle(samples: list[Sample], kind: str) -> float:
    return median([sample[kind] for sample in samples if kind in sample] or [0])


if __name__ == "__main__":
    main()
