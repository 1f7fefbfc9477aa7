"""A run from plan to reconciliation."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from recap import engines, ledger, shards
from recap.corpus import caller_columns, corpus_identity, corpus_root, scan
from recap.graph.plan import WorkPlan
from recap.graph.sizing import local_resources, size_pools
from recap.pipeline import Pipeline
from recap.records import CAPTIONED, FILTERED, QUARANTINED, STATUSES, FrameRequest
from recap.report.log_file import log_file
from recap.report.progress import Progress
from recap.work import Runner, Work

log = logging.getLogger(__name__)
PIXELS = ("truncated", "fallback", "scaling")
DECODING = ("kind", "max_new_tokens", "repetition_penalty")


@dataclass(frozen=True)
class Summary:
    """What a run did and what the output holds now. `remaining` counts clips without a record."""

    clips: int
    captioned: int
    quarantined: int
    filtered: int
    remaining: int
    vanished: int
    captioned_now: int
    seconds: float
    reasons: dict[str, int]
    output: str
    generation: str
    complete: bool
    shards: list[dict] = field(repr=False)

    @property
    def clips_per_second(self) -> float:
        return self.captioned_now / self.seconds if self.seconds else 0.0


def run(
    pipeline: Pipeline,
    *,
    limit: int | None = None,
    runner: Runner = "ray",
    progress: Progress | None = None,
) -> Summary:
    """Caption what `pipeline` describes and has not been captioned yet, then write the shards.

    `limit` asks for the first clips of the corpus only. `runner` is Ray Data or a plain loop in
    this process. Raises ValueError for what the user can mend, before anything is written.
    """
    scanned = check(pipeline)
    request = check_view(pipeline)
    model = engines.fetch(pipeline.model, pipeline.engine)
    engines.check_fetched(model, pipeline.engine)
    keys = derive_keys(pipeline, model, request)
    output = Path(pipeline.output.path)
    with _cluster(pipeline, runner), ledger.lease(output) as epoch, log_file(output / "run.log"):
        log.info("run %d: captions are filed under %s", epoch, keys["caption_key"])
        ledger.check_owner(output, corpus_identity(pipeline.corpus))  # fetching may have taken hours
        ledger.sweep(output)
        ledger.write_recipe(output, corpus_identity(pipeline.corpus), keys, pipeline.as_dict())
        snapshot, _ = ledger.update_snapshot(output, scanned)
        del scanned  # from here on the snapshot's few bytes a clip are all that is held
        plan = _work_plan(pipeline, model, request, keys, epoch)
        work = Work(snapshot, corpus_root(pipeline.corpus).resolve(), plan, limit)
        with progress or Progress() as bars:
            work.caption(runner, bars)
        summary = _finalize(pipeline, work)
        log.info("run %d: %d captioned now, %d remaining", epoch, summary.captioned_now, summary.remaining)
        ledger.write_json(output / "telemetry" / f"{epoch:06d}.json", asdict(summary))
        return summary


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
        scanned = scan(pipeline.corpus)
        ledger.refuse_reserved(caller_columns(scanned))
        ledger.check_owner(Path(pipeline.output.path), corpus_identity(pipeline.corpus))
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ValueError("this run cannot start:\n  " + "\n  ".join(problems))
    assert scanned is not None
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
    request = engines.frame_request(model, pipeline.engine, pipeline.frames.count, pipeline.frames.view)
    engines.check_length(model, pipeline.prompt, pipeline.engine, request)
    return request


def derive_keys(pipeline: Pipeline, model: engines.ModelSettings, request: FrameRequest) -> dict[str, str]:
    """The chained keys: what a caption depends on, and nothing else.

    `model` is the fetched one, `request` what its tower wants to see.
    """
    pixels = {name: getattr(pipeline.decode, name) for name in PIXELS}
    view_key = ledger.key_of({"request": asdict(request)} | pixels)
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
    caption_key = ledger.key_of(caption, view_key)
    return {"view_key": view_key, "caption_key": caption_key, "review_key": ledger.key_of({}, caption_key)}


def _work_plan(
    pipeline: Pipeline, model: engines.ModelSettings, request: FrameRequest, keys: dict[str, str], epoch: int
) -> WorkPlan:
    output = Path(pipeline.output.path).resolve()
    return WorkPlan(
        request=request,
        decode=pipeline.decode,
        model=model,
        model_name=engines.model_name(pipeline.model),
        prompt=pipeline.prompt,
        engine=pipeline.engine,
        ray=pipeline.ray,
        fragments=output / "fragments" / keys["caption_key"],
        commit_every_s=pipeline.output.commit_every_s,
        epoch=epoch,
        **keys,
    )


@contextmanager
def _cluster(pipeline: Pipeline, runner: Runner) -> Iterator[None]:
    """Join a named cluster before anything is written: it may not answer, or be too small."""
    if runner == "loop" or pipeline.ray.address is None:
        yield
        return
    from recap.graph.ray_graph import ray_session, size_cluster

    with ray_session(pipeline.ray.address):
        size_cluster(pipeline.decode, pipeline.engine)
        yield


def _finalize(pipeline: Pipeline, work: Work) -> Summary:
    output, committed = Path(pipeline.output.path), work.committed
    counts = committed.counts()
    books = {"clips": len(work.snapshot.present)} | {status: counts[status] for status in STATUSES}
    books["remaining"] = books["clips"] - counts.total()
    assert books["remaining"] == len(committed.missing()), books
    generation, shard_list = shards.write_generation(
        output, committed.batches(), pipeline.output, corpus_root(pipeline.corpus)
    )
    _check_shards(shard_list, books)
    manifest = {
        "contract": ledger.CONTRACT,
        "generation": generation,
        "caption_key": work.plan.caption_key,
        "review_key": work.plan.review_key,
        "shards": [asdict(shard) for shard in shard_list],
        "reconciliation": books | {"vanished": len(work.snapshot) - books["clips"]},
        "reasons": dict(sorted(committed.reasons().items())),
    }
    ledger.write_json(output / "manifest.json", manifest)
    shards.delete_other_generations(output, generation)
    return _summary(output, manifest, work)


def _check_shards(shard_list: list[shards.Shard], books: dict[str, int]) -> None:
    """What was written is what the books say, kind by kind."""
    rows: Counter[str] = Counter()
    for shard in shard_list:
        rows[shard.kind] += shard.rows
    aside = rows.pop("quarantine", 0)
    assert aside == books[QUARANTINED] + books[FILTERED], (aside, books)
    assert all(number == books[CAPTIONED] for number in rows.values()), (rows, books)


def _summary(output: Path, manifest: dict[str, Any], work: Work) -> Summary:
    books = manifest["reconciliation"]
    return Summary(
        **books,
        captioned_now=books[CAPTIONED] - work.captioned_before,
        seconds=round(work.seconds, 3),
        reasons=manifest["reasons"],
        complete=not len(work.committed.missing(work.limit)),
        output=str(output),
        generation=manifest["generation"],
        shards=manifest["shards"],
    )
