"""What the storage contract costs a clip: plan, resume, finalize and again, with made-up records and no engine.

python benchmarks/ledger_scale.py [--clips 10000 --clips 100000 --clips 1000000] [--writers 200 --rows 60]
                                  [--done 0.9] [--only plan --only resume] [--json]

Nine tenths of the clips are done, committed through the real ledger by so many writers, so many rows at a time. Each
step runs in a process of its own, whose peak memory is reported, pages of mapped files left out; `again` is finalize
where nothing has changed.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from resident import PeakMemory

VIDEOS, BLOCK = 10_000, 8
WORDS = (
    "a the red blue man walks slowly across wide street while camera follows him and light falls on wet stones".split()
)


@click.command()
@click.option("--clips", multiple=True, default=(10_000, 100_000, 1_000_000), help="Sizes to measure.")
@click.option("--writers", default=4, show_default=True, help="Who wrote the records, eight clips by turns.")
@click.option("--rows", default=512, show_default=True, help="Records in a fragment.")
@click.option("--done", default=0.9, show_default=True, help="Which part of the clips has a record.")
@click.option("--only", multiple=True, help="Steps to measure, if not all.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON object only.")
@click.option("--step", hidden=True)
@click.option("--folder", hidden=True, type=click.Path(path_type=Path))
def main(
    clips: tuple[int, ...],
    writers: int,
    rows: int,
    done: float,
    only: tuple[str, ...],
    as_json: bool,
    step: str | None,
    folder: Path | None,
) -> None:
    if step is not None:
        assert folder is not None
        click.echo(json.dumps(measure(STEPS[step], folder)))
        return
    results = {}
    for number in clips:
        with tempfile.TemporaryDirectory() as name:
            prepare(Path(name), number, done, writers, rows)
            results[number] = {step: in_a_process(step, name) for step in only or STEPS}
        if not as_json:
            for step, result in results[number].items():
                click.echo(f"{number:>8} clips, {step:8}: {line(result, number)}")
    click.echo(json.dumps({"clips": results}))


def line(result: dict, clips: int) -> str:
    held = f", {result['held_bytes'] / clips:.0f} bytes a clip held" if "held_bytes" in result else ""
    cpu = result["cpu_s"]
    times = f"{result['seconds']:.1f} s ({cpu:.1f} s of one core, {cpu / clips * 1e6:.0f} µs a clip)"
    return f"{times}, peak {result['peak_mb']:.0f} MB{held}"


def in_a_process(step: str, folder: str) -> dict:
    command = [sys.executable, __file__, "--step", step, "--folder", folder]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def measure(step: Callable[[Path], dict], folder: Path) -> dict:
    """Seconds on the clock and of the processor (of a loaded machine, only the latter compare), and the peak."""
    started = time.monotonic(), time.process_time()
    with PeakMemory() as peak:
        result = step(folder)
    seconds = {"seconds": round(time.monotonic() - started[0], 2), "cpu_s": round(time.process_time() - started[1], 2)}
    return seconds | {"peak_mb": peak.bytes / 2**20} | result


def pipeline(folder: Path):
    from recap.pipeline import load_pipeline

    return load_pipeline(folder / "pipeline.yaml")


def prepare(folder: Path, clips: int, done: float, writers: int, rows: int) -> None:
    """A corpus of `clips` spans of files that exist, with a column of its own, and the records of most."""
    (folder / "clips").mkdir()
    videos = min(VIDEOS, clips)
    for number in range(videos):
        (folder / "clips" / f"video-{number:05d}.mp4").touch()
    number = np.arange(clips)
    start = (number // videos).astype(float)
    paths = pa.array([f"video-{n:05d}.mp4" for n in range(videos)]).take(pa.array(number % videos))
    table = pa.table({"path": paths, "start": start, "end": start + 1, "score": number / clips})
    pq.write_table(table, folder / "clips.parquet")
    (folder / "pipeline.yaml").write_text(
        f"corpus: {{kind: manifest, path: {folder}/clips.parquet, root: {folder}/clips, "
        "start_column: start, end_column: end}\n"
        f"engine: {{kind: rehearsal}}\noutput: {{path: {folder}/out}}\n"
    )
    commit(folder, done, writers, rows)


def commit(folder: Path, done: float, writers: int, rows: int) -> None:
    """Take the corpus in and write the records."""
    from recap import ledger, planning
    from recap.corpus import corpus_identity

    settings = pipeline(folder)
    keys = derived(settings)
    output = folder / "out"
    with ledger.lease(output) as epoch:
        ledger.write_recipe(output, corpus_identity(settings.corpus), keys, settings.as_dict())
        snapshot, _ = ledger.update_snapshot(output, planning.check(settings))
        place = output / "fragments" / keys.values["caption_key"]
        by_turns = [ledger.FragmentWriter(place, epoch, f"writer{n}", 1e6, rows) for n in range(writers)]
        todo = snapshot.present[: int(len(snapshot) * done)]
        for number, clip in enumerate(snapshot.clips(todo, folder / "clips")):
            by_turns[number // BLOCK % writers].append(made_up(clip, keys.values))
        for writer in by_turns:
            writer.flush()


def derived(settings):
    """The keys of a pipeline."""
    from recap.prepared import glance

    return glance(settings).keys


def made_up(clip, keys: dict[str, str]):
    from recap.records import CAPTIONED, Caption, Record

    words = random.Random(clip.ordinal).choices(WORDS, k=100)
    facts = {"frame_times_s": tuple(n / 16 for n in range(16)), "coverage": 0.56, "width": 1920, "height": 1080}
    facts |= {"fps": 25.0, "duration_s": 1.0, "codec": "h264", "decoder": "decord"}
    caption = Caption("dense", " ".join(words), model="made-up", output_tokens=130)
    return Record(clip, CAPTIONED, keys["caption_key"], keys["review_key"], captions=(caption,), **facts)


def plan(folder: Path) -> dict:
    """`recap plan`."""
    from recap import planning

    planned = planning.plan(pipeline(folder))
    return {"to_do": planned.to_do}


def resume(folder: Path) -> dict:
    """What a run does from its start to the first clip, and what it then holds."""
    from recap import ledger, planning

    settings, output = pipeline(folder), folder / "out"
    keys = derived(settings)
    with ledger.lease(output):
        snapshot, _ = ledger.update_snapshot(output, planning.check(settings))
        place = output / "fragments" / keys.values["caption_key"]
        committed = ledger.Committed(snapshot, place)
        if ledger.compact(place, committed.rows_in):
            committed = ledger.Committed(snapshot, place)
        missing = committed.missing()
        next(iter(snapshot.clips(missing, folder / "clips")))
    arrays = [value for thing in (snapshot, committed) for value in vars(thing).values()]
    held = sum(array.nbytes for array in (*arrays, missing) if isinstance(array, np.ndarray))
    return {"to_do": len(missing), "held_bytes": held}


def finalize(folder: Path) -> dict:
    """Looking for near-duplicates in what is done, and cutting its shards."""
    from recap import ledger, shards
    from recap.delivery import Delivery, Layer

    settings, output = pipeline(folder), folder / "out"
    values = derived(settings).values
    snapshot = ledger.read_snapshot(output)
    committed, verdicts = (
        ledger.Committed(snapshot, output / place / key)
        for place, key in (("fragments", values["caption_key"]), ("overlays", values["review_key"]))
    )
    delivery = Delivery(Layer(committed, verdicts), {}, settings.review, values["review_key"])
    _, written = shards.write_generation(output, delivery.batches(), settings.output)
    return {"shards": len(written), "bytes": sum(shard.bytes for shard in written)}


STEPS = {"plan": plan, "resume": resume, "finalize": finalize, "again": finalize}

if __name__ == "__main__":
    main()
