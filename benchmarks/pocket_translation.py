"""How right the pocket translator's Chinese is: each attribute, and whole captions.

    recap pocket make held-out-120 --clips 120 --seed 9001
    POCKET_CORPUS=held-out-120 RECAP_OUTPUT=held-out-120-captions recap run pipelines/pocket/held_out.yaml
    python benchmarks/pocket_translation.py --captions held-out-120-captions

Two sets that are held out from training, captions of clips and captions from the whole grammar, and with `--captions`
what the pocket model wrote, its mistakes among it: what a caption says is what its translation has to say, true or
not. Exits 1 when a share of any set lies below its goal. `--json` ends with one JSON object. CPU, float32, greedy.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import click
import torch
from transformers import MarianMTModel

from recap.ledger import read_manifest
from recap.pllava.hub import named_folder
from recap.pocket import Facts, english, parse_english
from recap.pocket.marian import load_tokenizer
from recap.pocket.scene import draw_scenes
from recap.pocket.score import ATTRIBUTES, score
from recap.pocket.sentences import draw_facts, is_held_out
from recap.report.rows import read_rows

GOAL = 0.98
LONGEST = 128


@click.command()
@click.option("--translator", default="pocket-en-zh", show_default=True, help="The checkpoint: a folder, or its name.")
@click.option("--captions", type=click.Path(path_type=Path), help="What `recap run` wrote about pocket clips.")
@click.option("--count", default=500, show_default=True, help="Captions of the first two sets.")
@click.option("--seed", default=9001, show_default=True, help="What they are drawn from.")
@click.option("--batch-size", default=32, show_default=True)
@click.option("--misses", is_flag=True, help="Print each caption that is not right word for word.")
@click.option("--json", "as_json", is_flag=True)
def main(translator, captions, count, seed, batch_size, misses, as_json) -> None:
    sets = {"clips": list(islice(of_clips(seed), count)), "grammar": list(islice(of_grammar(seed), count))}
    if captions:
        sets["written"] = list(written(captions))
    folder = named_folder(translator)
    model, tokenizer = MarianMTModel.from_pretrained(folder, dtype=torch.float32).eval(), load_tokenizer(folder)
    found = {}
    for name, facts in sets.items():
        began = time.process_time()
        translations = translate(model, tokenizer, [english(said) for said in facts], batch_size)
        seconds = time.process_time() - began
        right = score(zip(facts, translations, strict=True), "zh").right
        found[name] = {"captions": len(facts), "core_ms": round(1000 * seconds / len(facts), 2)} | right
        print_set(name, found[name])
        if misses:
            print_misses(facts, translations)
    if as_json:
        click.echo(json.dumps(found))
    sys.exit(any(figures[name] < GOAL for figures in found.values() for name in ATTRIBUTES))


def of_clips(seed: int) -> Iterator[Facts]:
    """What is true of clips whose captions are held out."""
    return (scene.facts for scene in draw_scenes(seed, moving=True) if is_held_out(english(scene.facts)))


def of_grammar(seed: int) -> Iterator[Facts]:
    """What captions may say, for held-out captions from the whole grammar."""
    chance = random.Random(seed)
    while True:
        yield draw_facts(chance, held_out=True)


def written(output: Path) -> Iterator[Facts]:
    """What the captions in `output` say, right or wrong; those that are not in the grammar are told and left out."""
    strange = 0
    for row in read_rows(output, read_manifest(output), ["caption"]):
        facts = parse_english(row["caption"])
        if facts.things and facts.shade and english(facts) == row["caption"]:
            yield facts
        else:
            strange += 1
    click.echo(f"written: {strange} captions are not in the grammar", err=True)


@torch.inference_mode()
def translate(model: MarianMTModel, tokenizer, texts: Sequence[str], batch_size: int) -> list[str]:
    """Greedy translations, as the tokenizer decodes them."""
    found = []
    for start in range(0, len(texts), batch_size):
        batch = tokenizer(texts[start : start + batch_size], padding=True, return_tensors="pt")
        tokens = model.generate(**batch, num_beams=1, do_sample=False, max_length=LONGEST)
        found += tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return found


def print_set(name: str, figures: dict[str, float]) -> None:
    """One line on stderr."""
    shares = "  ".join(f"{part} {100 * figures[part]:.1f} %" for part in ATTRIBUTES)
    click.echo(f"{name:8} {figures['captions']:4} captions  {shares}  {figures['core_ms']} ms of a core each", err=True)


def print_misses(facts: Sequence[Facts], translations: Sequence[str]) -> None:
    """The captions that are not right word for word."""
    for said, translated in zip(facts, translations, strict=True):
        if score([(said, translated)], "zh").right["whole"] < 1:
            click.echo(f"  {english(said)}\n  {translated}", err=True)


if __name__ == "__main__":
    main()
