"""recap against the way captioning scripts do it: one clip at a time, on the same clips, model and cores.

    python benchmarks/reference_loop.py [--model pocket|real] [--clips 300] [--rounds 3] [--workers N]
                                        [--actors N] [--dtype TYPE] [--work FOLDER] [--json]

The loop reads sixteen full-resolution frames with decord, brings them to model size with Pillow, and asks
`generate` for one caption at a time; texts are kept to the end. `pocket` is the model that ships with recap on
its own clips. `real` is a random model on spans of a real 720p clip, sized so that captioning one costs about
as much as decoding it. The two take turns, and figures are medians of the rounds. `ratio` compares the times
from a loaded model on, `ratio_with_start` whole commands. `efficiency` is the core-seconds of decoding alone and
of the engine alone, per core and second of the run. `forecast_s` is what `recap plan` says that the command takes
(least, expected, most), `run_s` what it took.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import yaml

HOME = Path(__file__).parents[1]
REAL_CLIP = HOME / "pipelines/demo/clips/cockatoo.mp4"
SPAN_S, SPANS = 8.0, 12.0  # the length of a span, and the part of the file that spans lie in


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("pocket", "real"), default="pocket")
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="auto", help="what both compute in; as `model.dtype`")
    parser.add_argument("--actors", type=int, default=len(os.sched_getaffinity(0)), help="copies of the model")
    parser.add_argument("--workers", type=int, help="decoding processes; recap's own choice when absent")
    parser.add_argument("--work", type=Path, help="keep the clips, for a later call too, and the outputs here")
    parser.add_argument("--json", action="store_true", help="print the JSON object only")
    parser.add_argument("--loop", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop:
        print(json.dumps(loop(arguments.loop)))
        return
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        result = compare(write_pipeline(work, arguments), arguments.rounds)
    if not arguments.json:
        for name, value in result.items():
            print(f"{name:22} {value}")
    print(json.dumps(result))


def write_pipeline(work: Path, arguments: argparse.Namespace) -> Path:
    """The clips, the model and a pipeline YAML for both ways, in a folder of its own below `work`."""
    settings = {"pocket": pocket, "real": real}[arguments.model](work, arguments.clips)
    settings["engine"] |= {"actors": arguments.actors}
    settings["model"] |= {"dtype": arguments.dtype}
    settings["decode"] = {"workers": arguments.workers or "auto"}
    settings["review"] = {"repair": False}  # the loop asks nothing twice either
    run = Path(tempfile.mkdtemp(prefix="run-", dir=work))
    settings["output"] = {"path": str(run / "out")}
    path = run / f"{arguments.model}.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def pocket(work: Path, clips: int) -> dict:
    from recap.pocket import make_clips

    corpus = work / f"pocket-{clips}"
    if not corpus.is_dir():
        make_clips(corpus, clips, seed=77, on_made=lambda _: None)
    return {
        "corpus": {"path": str(corpus)},
        "model": {"checkpoint": "pocket"},
        "prompt": {"template": "plain", "instruction": {"detail": "Describe the video."}},
        "engine": {"batch_size": 32, "max_new_tokens": 48},
    }


def real(work: Path, clips: int) -> dict:
    from recap.pllava.random_checkpoint import write_random_checkpoint

    model, manifest = work / "random-pllava", work / f"spans-{clips}.jsonl"
    if not model.is_dir():
        write_random_checkpoint(model, seed=0, grid=16, pooling_shape=(16, 4, 4), hidden_size=768, layers=16)
    starts = [round(number * (SPANS - SPAN_S) / clips, 3) for number in range(clips)]
    rows = [{"path": REAL_CLIP.name, "start": start, "end": round(start + SPAN_S, 3)} for start in starts]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"column": "path", "start_column": "start", "end_column": "end"}
    return {
        "corpus": {"kind": "manifest", "path": str(manifest), "root": str(REAL_CLIP.parent)} | columns,
        "model": {"checkpoint": str(model)},
        "prompt": {"template": "plain", "instruction": {"detail": "Describe the video."}},
        "engine": {"batch_size": 8, "max_new_tokens": 64},
    }


def compare(path: Path, rounds: int) -> dict:
    """Run both in turn, look at what clips cost alone, and take medians."""
    found = [measure(path, f"output.path={path.with_suffix('')}-out-{number}") for number in range(rounds)]
    probe = 2 * yaml.safe_load(path.read_text())["engine"]["batch_size"]
    alone = json.loads(_python("-m", "recap", "plan", path, "--probe", probe, "--json", f"output.path={path}-none"))
    result = {name: round(median(each[name] for each in found), 3) for name in found[0]}
    cores_s = len(os.sched_getaffinity(0)) / result["recap_clips_per_s"]
    return result | {
        "ratios": [round(each["ratio"], 3) for each in found],
        "efficiency": round(alone["forecast"]["clip_core_s"] / cores_s, 3),
        "forecast_s": [round(seconds, 1) for seconds in alone["forecast"]["seconds"]],
    }


def measure(path: Path, output: str) -> dict:
    """One round: the loop, then `recap run`."""
    start = time.perf_counter()
    looped = json.loads(_python(__file__, "--loop", path))
    looped_s = time.perf_counter() - start
    start = time.perf_counter()
    ran = json.loads(_python("-m", "recap", "run", path, "--json", output))
    ran_s = time.perf_counter() - start
    assert ran["captioned"] == looped["clips"] and not ran["remaining"], ran
    working_s = ran["speed"]["working_s"]
    return {
        "clips": looped["clips"],
        "ratio": looped["seconds"] / working_s,
        "ratio_with_start": looped_s / ran_s,
        "loop_clips_per_s": looped["clips"] / looped["seconds"],
        "recap_clips_per_s": looped["clips"] / working_s,
        "loop_start_s": looped_s - looped["seconds"],
        "recap_start_s": ran_s - working_s,
        "run_s": ran_s,
        "same_texts": same_texts(looped["texts"], ran),
    }


def loop(path: Path) -> dict:
    """Caption the corpus one clip at a time; seconds are from the loaded model on."""
    import numpy as np
    import torch
    from decord import VideoReader, cpu

    from recap import load_pipeline, prepared, preprocess
    from recap.corpus import corpus_root, scan
    from recap.engines import fetch, prompt_texts
    from recap.pllava import load_pllava
    from recap.video import frame_indices

    pipeline = load_pipeline(path)
    request = prepared.check_view(pipeline)
    source = fetch(pipeline.model, pipeline.engine)
    model = load_pllava(source.checkpoint, base=source.base, lora_alpha=source.lora_alpha, dtype=source.dtype)
    (text,) = prompt_texts(pipeline.prompt).values()
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    root, texts, start = corpus_root(pipeline.corpus), {}, time.perf_counter()
    for clip in scan(pipeline.corpus).to_pylist():
        video = VideoReader(str(root / clip["uri"]), ctx=cpu(0), num_threads=1)
        span = {"start_s": clip["start_s"], "end_s": clip["end_s"]}
        indices = frame_indices(len(video), request.count, fps=video.get_avg_fps(), **span)
        frames = np.asarray(video.get_batch(indices).asnumpy())
        pixels = preprocess(frames, request.view, request.size)
        (new_ids,) = model.generate(ids, torch.ones_like(ids), pixels, pipeline.engine.max_new_tokens)
        texts[clip["clip_id"]] = model.tokenizer.decode(new_ids, skip_special_tokens=True).strip()
    return {"clips": len(texts), "seconds": time.perf_counter() - start, "texts": texts}


def same_texts(texts: dict[str, str], ran: dict) -> float:
    """The share of captions on which both agree."""
    import pyarrow.parquet as pq

    paths = [f"{ran['output']}/{shard['path']}" for shard in ran["shards"] if shard["kind"] == "parquet"]
    rows = [row for path in paths for row in pq.read_table(path, columns=["clip_id", "caption"]).to_pylist()]
    return sum(texts[row["clip_id"]] == row["caption"] for row in rows) / len(rows)


def _python(*arguments: object) -> str:
    """The last line that a Python command prints."""
    command = [sys.executable, *map(str, arguments)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return printed.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
