"""Before a run: what cannot start, what captions depend on, and what there is to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from recap import engines, ledger
from recap.corpus import caller_columns, corpus_identity, scan
from recap.graph.sizing import local_resources, size_pools
from recap.pipeline import Pipeline
from recap.records import STATUSES, FrameRequest

PIXELS = ("truncated", "fallback", "decoder")
DECODING = ("kind", "max_new_tokens", "repetition_penalty")


@dataclass(frozen=True)
class Plan:
    """What a run would find and do.

    `new`, `changed`, `vanished` and `returned` count clips against the last run, `done` those that have
    a record, per status, and `to_do` those that a run (within its limit) would caption. `stale` gives,
    for each chained key that is not the last recipe's, the settings that made it another, before and
    after; `settings` does so for the whole pipeline. Both are empty for an output's first run.
    """

    output: str
    clips: int
    new: int
    changed: int
    vanished: int
    returned: int
    done: dict[str, int]
    reasons: dict[str, int]
    to_do: int
    keys: dict[str, str]
    stale: dict[str, dict[str, tuple[Any, Any]]]
    settings: dict[str, tuple[Any, Any]]


def plan(pipeline: Pipeline, *, limit: int | None = None) -> Plan:
    """What `jobs.run` would do, with nothing written and no lease taken.

    Raises ValueError for a corpus or an output that a run would refuse. What the machine lacks does
    not count here.
    """
    scanned = check_corpus(pipeline)
    model = engines.fetch(pipeline.model, pipeline.engine, weights=False)
    keys = derive_keys(pipeline, model, frame_request(pipeline, model))
    output = Path(pipeline.output.path)
    snapshot, growth = ledger.foresee_snapshot(output, scanned)
    committed = ledger.observe(snapshot, ledger.fragment_folder(output, keys.values["caption_key"]))
    counts = committed.counts()
    return Plan(
        output=str(output),
        clips=len(snapshot.present),
        **{name: getattr(growth, name) for name in ("new", "changed", "vanished", "returned")},
        done={status: counts[status] for status in STATUSES},
        reasons=dict(sorted(committed.reasons().items())),
        to_do=len(committed.missing(limit)),
        keys=keys.values,
        **_against_last(output, keys, pipeline),
    )


def _against_last(output: Path, keys: ledger.Keys, pipeline: Pipeline) -> dict[str, dict]:
    recipe = ledger.read_json(output / "recipe.json")
    if recipe is None:
        return {"stale": {}, "settings": {}}
    changed = [name for name, value in keys.values.items() if recipe["keys"].get(name) != value]
    before = recipe["key_settings"]
    return {
        "stale": {name: ledger.differences(before.get(name, {}), keys.settings[name]) for name in changed},
        "settings": ledger.differences(recipe["settings"], pipeline.as_dict()),
    }


def check(pipeline: Pipeline) -> pa.Table:
    """Everything that can be refused before work starts; returns the scanned corpus.

    Raises ValueError with every problem found, so that one attempt shows them all.
    """
    problems = engines.problems(
        pipeline.model, pipeline.prompt, pipeline.engine, on_cluster=pipeline.ray.address is not None
    )
    scanned = None
    if pipeline.ray.address is None:
        problems += _local_pool_problems(pipeline)
    try:
        scanned = check_corpus(pipeline)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ValueError("this run cannot start:\n  " + "\n  ".join(problems))
    assert scanned is not None
    return scanned


def check_corpus(pipeline: Pipeline) -> pa.Table:
    """The scanned corpus; ValueError when it cannot be read or `output.path` is not its output."""
    scanned = scan(pipeline.corpus)
    ledger.refuse_reserved(caller_columns(scanned))
    ledger.check_owner(Path(pipeline.output.path), corpus_identity(pipeline.corpus))
    return scanned


def _local_pool_problems(pipeline: Pipeline) -> list[str]:
    engine = pipeline.engine
    cpus, gpus = local_resources(engine.gpus_per_actor)
    wanted = {"decode_workers": pipeline.decode.workers, "caption_actors": engine.actors}
    try:
        size_pools(cpus, gpus, gpus_per_actor=engine.gpus_per_actor, **wanted)
    except ValueError as error:
        return [str(error)]
    return []


def check_view(pipeline: Pipeline) -> FrameRequest:
    """What the model wants to see of a clip; ValueError when prompt, video and answer exceed its context.

    Needs the checkpoint's config and tokenizer alone: of a hub id nothing else is downloaded yet.
    """
    model = engines.fetch(pipeline.model, pipeline.engine, weights=False)
    request = frame_request(pipeline, model)
    engines.check_length(model, pipeline.prompt, pipeline.engine, request)
    return request


def frame_request(pipeline: Pipeline, model: engines.ModelSettings) -> FrameRequest:
    """What a fetched model wants to see of a clip."""
    return engines.frame_request(model, pipeline.engine, pipeline.frames.count, pipeline.frames.view)


def derive_keys(pipeline: Pipeline, model: engines.ModelSettings, request: FrameRequest) -> ledger.Keys:
    """The chained keys: what a caption depends on, and nothing else.

    `model` is the fetched one, `request` what its tower wants to see.
    """
    drawn = ("temperature", "seed") if pipeline.engine.temperature else ()  # greedy decoding draws nothing
    caption = {
        "model": engines.model_name(pipeline.model),
        "weights": engines.fetched_digest(model, pipeline.engine),
        "lora_alpha": model.lora_alpha,
        "dtype": model.dtype,
        "visual_tokens": model.visual_tokens,
        "pooling": model.pooling,
        "prompts": list(engines.prompt_texts(pipeline.prompt).items()),
        "engine": {name: getattr(pipeline.engine, name) for name in (*DECODING, *drawn)},
    }
    view = {"request": asdict(request)} | {name: getattr(pipeline.decode, name) for name in PIXELS}
    return ledger.Keys({"view_key": view, "caption_key": caption, "review_key": {}})
