"""How right the captions of a pocket corpus are: each attribute, and whole captions.

    recap pocket make held-out --clips 500 --seed 9001
    recap run pipelines/pocket/held_out.yaml
    python benchmarks/pocket_accuracy.py --corpus held-out --captions held-out-captions

Exits 1 when a share lies below its goal. `--prompt` scores another prompt's captions, `--report-only` never fails.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from recap.pocket.facts import Facts
from recap.pocket.score import score

GOALS = {"shape": 0.97, "colour": 0.97, "size": 0.97, "background": 0.97, "motion": 0.95, "whole": 0.85}


def captions_of(output: Path, prompt: str | None) -> Iterator[tuple[str, str]]:
    """(uri, caption) of every captioned row; of `prompt`, else the primary caption."""
    manifest = json.loads((output / "manifest.json").read_text())
    for shard in manifest["shards"]:
        if shard["kind"] != "parquet":
            continue
        for row in pq.read_table(output / shard["path"], columns=["uri", "captions"]).to_pylist():
            texts = {caption["prompt"]: caption["text"] for caption in row["captions"] if caption["language"] == "en"}
            yield row["uri"], texts[prompt] if prompt else next(iter(texts.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="what `recap pocket make` wrote")
    parser.add_argument("--captions", type=Path, required=True, help="what `recap run` wrote")
    parser.add_argument("--prompt", help="score the captions of this prompt")
    parser.add_argument("--report-only", action="store_true", help="exit 0 whatever the shares are")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in (arguments.corpus / "manifest.jsonl").read_text().splitlines()]
    said = dict(captions_of(arguments.captions, arguments.prompt))
    if not said.keys() & {row["path"] for row in rows}:
        parser.error(f"no caption is of a clip of {arguments.corpus}: that folder must be the run's corpus.path")
    found = score((Facts.of(row["facts"]), said.get(row["path"], "")) for row in rows)
    words = sum(len(text.split()) for text in said.values()) / max(1, len(said))
    low = [name for name, goal in GOALS.items() if found.right[name] < goal]
    for name, share in found.right.items():
        print(f"{name:12} {100 * share:5.1f} %   goal {100 * GOALS[name]:.0f} %", file=sys.stderr)
    print(f"{found.captions} clips, {words:.1f} words a caption", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"captions": found.captions, "words": round(words, 2)} | found.right))
    sys.exit(1 if low and not arguments.report_only else 0)


if __name__ == "__main__":
    main()
