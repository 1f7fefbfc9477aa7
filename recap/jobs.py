"""A run from plan to reconciliation."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from recap import ledger, shards
from recap.budget import Budget
from recap.cluster import executor_of, joined, machine_of
from recap.corpus import corpus_identity, corpus_root
from recap.delivery import Delivery, Layer, verdict_key
from recap.graph.reviewing import contexts
from recap.graph.stopping import GO_ON, RayLost
from recap.pipeline import Pipeline, absolute, from_recipe
from recap.planning import check, check_corpus, check_moved, check_recipe, output_reached, unheard
from recap.prepared import Prepared, prepare
from recap.records import CAPTIONED, FILTERED, QUARANTINED
from recap.report.last import last_report
from recap.report.log_file import log_file
from recap.report.progress import Progress
from recap.report.speed import SpeedAccount, Wall, speed_account
from recap.rereview import judge_captions, judge_translations, review_again
from recap.storage import Location, location, resolved
from recap.work import Runner, Stops, Work

__all__ = ["GO_ON", "RayLost", "Summary", "retry", "root_of", "run"]
NO_BUDGET = Budget()
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Summary:
    """What a run did and what the output holds now.

    `remaining` counts clips without a record, `untranslated` captioned ones without a language. `seconds` are of the
    whole run. `speed` is None where nothing was to be done.
    """

    clips: int
    captioned: int
    quarantined: int
    filtered: int
    remaining: int
    vanished: int
    captioned_now: int
    seconds: float
    reasons: dict[str, int]
    flags: dict[str, dict[str, int]]
    translated: dict[str, int]
    untranslated: dict[str, int]
    output: str
    generation: str
    complete: bool
    shards: list[dict] = field(repr=False)
    stopped_by: int | None = None  # the signal that ended the run before its time
    is_over_budget: bool = False
    speed: SpeedAccount | None = field(default=None, repr=False)


def run(
    pipeline: Pipeline,
    *,
    limit: int | None = None,
    budget: Budget = NO_BUDGET,
    runner: Runner = "ray",
    progress: Progress | None = None,
    only: np.ndarray | None = None,
    corpus_moved: bool = False,
) -> Summary:
    """Caption and translate what `pipeline` describes and is not done yet, then write the shards.

    `limit` asks for the first clips of the corpus only, `only` for those of some ordinals; a `budget` that is used up
    ends the run early and in order, as SIGTERM and Ctrl-C do (`Summary.stopped_by`). With `corpus_moved` the output
    takes the corpus for the one that it began with: clips are known by their addresses below its root. `runner` is
    Ray Data or a plain loop in this process. Raises ValueError for what the user can mend, before anything is written,
    OutputFailed when the disk is full, and RayLost (after saying so) when Ray's process on this machine dies, or its
    head.
    """
    began = time.monotonic()
    budget.seconds(_with_actors(pipeline, 1))  # refuses what it must
    output = location(pipeline.output.path)
    with output_reached(output):
        parts = ledger.part_paths(output)
    passed_over: list[str] = []
    bars = progress or Progress()
    scanned = check(pipeline, passed_over.append, corpus_moved, bars.listed)
    prepared = prepare(pipeline)
    caption_key = prepared.keys.values["caption_key"]  # all weights are read for it: not under the lease
    with (
        joined(pipeline) if runner == "ray" else nullcontext(),  # it may not answer, or be lost: no lease is held then
        ledger.output_errors(),
        ledger.lease(output) as epoch,
        log_file(output / "run.log"),
    ):
        _log_start(epoch, caption_key, passed_over)
        snapshot = _begin(prepared, scanned, parts, corpus_moved)
        del scanned  # from here on the snapshot's few bytes a clip are all that is held
        work = Work(snapshot, resolved(corpus_root(pipeline.corpus)), prepared.plan(epoch), limit, only)
        pipeline = _with_actors(pipeline, _actors(prepared, len(work.to_do), runner))
        work.plan = replace(work.plan, engine=pipeline.engine)
        with bars:
            planned = time.monotonic()
            work.run(runner, bars, Stops(pipeline.output.grace_s, budget.seconds(pipeline)))
        with executor_of(pipeline) if runner == "ray" else nullcontext() as executor:
            manifest = _finalize(pipeline, work, executor, bars)
        summary = _summary(output, manifest, work, _wall(began, planned, work))
        log.info("run %d: %d captioned now, %d remaining", epoch, summary.captioned_now, summary.remaining)
        _report(output, epoch, asdict(summary))
        return summary


def _log_start(epoch: int, caption_key: str, passed_over: Sequence[str]) -> None:
    """The first lines of a run; what was passed over waited for a run.log that keeps it."""
    log.info("run %d: captions are filed under %s", epoch, caption_key)
    for said in passed_over:
        log.warning("%s", said)


def _begin(prepared: Prepared, scanned: pa.Table, parts: Sequence[Location], corpus_moved: bool) -> ledger.Snapshot:
    """The corpus as `scanned` when the output knew `parts` of it; fetching may have taken hours since."""
    pipeline = prepared.pipeline
    output, corpus = location(pipeline.output.path), corpus_identity(pipeline.corpus)
    ledger.check_owner(output, None if corpus_moved else corpus)
    if ledger.part_paths(output) != parts:  # another run saw clips that came meanwhile
        scanned = check_corpus(pipeline, unheard, corpus_moved)
    known = ledger.read_snapshot(output)
    growth = ledger.compare(known, scanned)
    if known is not None and corpus_moved:
        check_moved(pipeline, growth, len(known.present))
    ledger.sweep(output)
    ledger.write_recipe(output, corpus, prepared.keys, absolute(pipeline.as_dict()))
    return ledger.grow(output, known, growth)


def _report(output: Location, epoch: int, summary: dict[str, Any]) -> None:
    """What runs did is kept; a run that had nothing to do leaves the account of the last one that had."""
    ledger.write_json(output / f"telemetry/{epoch:06d}.json", summary)
    if not summary["speed"]:
        with suppress(ledger.Damaged):
            last = last_report(output).speed
            summary |= {"speed": last and asdict(last)}
    ledger.write_json(output / "report/report.json", summary)


def _wall(began: float, planned: float, work: Work) -> Wall:
    graphs_s = work.captioning_s + work.translating_s
    return Wall(planned - began, work.captioning_s, work.translating_s, time.monotonic() - planned - graphs_s)


def retry(
    output: Location,
    *,
    reason: str | None = None,
    clips: Sequence[str] = (),
    runner: Runner = "ray",
    progress: Progress | None = None,
) -> Summary:
    """Caption again what was quarantined for `reason` (a stage, a kind, or `stage/kind`), and `clips`, by their
    ids or addresses; no others.

    Runs with the settings of the output's recipe. Dying on the way undoes nothing: the clips are marked
    first, and any later run goes on. Raises ValueError when there is no such clip, no such run can start, or the
    recipe's settings would now caption every clip anew.
    """
    recipe = ledger.read_recipe(output)
    pipeline = from_recipe(recipe.settings, output)
    check(pipeline, unheard)
    check_recipe(recipe, pipeline)
    with ledger.output_errors(), ledger.lease(output) as epoch, log_file(output / "run.log"):
        marked = _mark(output, epoch, reason, clips)
    return run(pipeline, runner=runner, progress=progress, only=marked)


def _mark(output: Location, epoch: int, reason: str | None, clips: Sequence[str]) -> np.ndarray:
    """From here on the records of these clips do not count; their ordinals."""
    folder = ledger.fragment_folder(output, ledger.read_recipe(output).keys["caption_key"])
    snapshot = ledger.read_snapshot(output)
    if snapshot is None:
        raise ValueError(f"{output} has no snapshot: no run has begun there")
    committed = ledger.Committed(snapshot, folder, ledger.set_aside)
    ordinals = snapshot.find(clips)
    if reason is not None:
        failed = committed.quarantined(reason)
        if not len(failed):
            reasons = ", ".join(sorted(committed.reasons())) or "none"
            raise ValueError(
                f"no clip of {output} was quarantined for {reason!r}; the reasons there are: {reasons} "
                "(recap run goes on with what an earlier retry marked)"
            )
        ordinals = np.union1d(ordinals, failed)
    rows = snapshot.rows(ordinals, snapshot.reader(["clip_id", "source_version"]))
    for overlay in ledger.overlay_folders(output):
        ledger.write_retry(overlay, epoch, rows)
    ledger.write_retry(folder, epoch, rows)
    log.info("retry %d: %d clips count as missing", epoch, len(ordinals))
    return ordinals


def _with_actors(pipeline: Pipeline, actors: int) -> Pipeline:
    return (
        pipeline
        if pipeline.engine.actors != "auto"
        else replace(pipeline, engine=replace(pipeline.engine, actors=actors))
    )


def _actors(prepared: Prepared, clips: int, runner: Runner) -> int:
    """How many copies of the model the joined cluster, or this machine, is to have for `clips` that are to do."""
    return 1 if runner == "loop" else prepared.actors(machine_of(prepared.pipeline), clips)


def _finalize(pipeline: Pipeline, work: Work, executor: Executor | None, bars: Progress) -> ledger.Manifest:
    """Have the shards written, here where there is no `executor`; the manifest of what readers now see."""
    output = location(pipeline.output.path)
    ledger.require_lease(output, work.plan.epoch)
    plan, delivery = work.plan, _delivery(output, work, bars)
    videos = shards.Videos(work.root, work.snapshot)
    generation, shard_list = shards.write_generation(
        resolved(output), _told(delivery.batches(), work, bars), pipeline.output, videos, executor
    )
    books = delivery.books()
    _check_shards(shard_list, books)
    manifest = ledger.Manifest(
        generation=generation,
        caption_key=plan.caption_key,
        review_key=plan.review_key,
        review=asdict(plan.review),
        flags=ledger.FlagCounts(**{name: dict(sorted(flags.items())) for name, flags in delivery.flags.items()}),
        translations={
            each.language: ledger.TranslationLine(each.key, delivery.translated[each.language])
            for each in plan.translations
        },
        shards=shard_list,
        reconciliation=ledger.Books(**books, vanished=len(work.snapshot) - books["clips"]),
        reasons=dict(sorted(work.committed.reasons().items())),
    )
    ledger.require_lease(output, work.plan.epoch)
    ledger.write_manifest(output, manifest)
    shards.delete_other_generations(output, generation)
    return manifest


def _told(batches: Iterator[pa.Table], work: Work, bars: Progress) -> Iterator[pa.Table]:
    rows, everyone = 0, len(work.committed.done)
    for batch in batches:
        rows += len(batch)
        bars.far("cutting shards", rows, everyone)
        yield batch


def _delivery(output: Location, work: Work, bars: Progress) -> Delivery:
    """The rows under today's review settings, once what was judged under others has been judged again."""
    plan, committed = work.plan, work.committed
    folder, judge = ledger.overlay_folder(output, plan.review_key), judge_captions(contexts(plan.review, plan.prompt))
    captioned = committed.captioned
    captions = Layer(committed, review_again(committed, captioned, folder, plan.review_key, judge, plan.epoch))
    translations = {}
    for each in plan.translations:
        texts, judge = work.translated[each.language], judge_translations(committed, each.context)
        folder = ledger.overlay_folder(output, verdict_key(plan.review_key, each.key))
        verdicts = review_again(texts, captioned, folder, plan.review_key, judge, plan.epoch)
        translations[each.language] = Layer(texts, verdicts)
    on_compared = partial(bars.far, "looking for near-duplicates", of=len(committed.done))
    return Delivery(captions, translations, plan.review, plan.review_key, on_compared)


def _check_shards(shard_list: list[shards.Shard], books: dict[str, int]) -> None:
    """What was written is what the books say, kind by kind."""
    rows: Counter[str] = Counter()
    for shard in shard_list:
        rows[shard.kind] += shard.rows
    aside = rows.pop("quarantine", 0)
    assert aside == books[QUARANTINED] + books[FILTERED], (aside, books)
    assert all(number == books[CAPTIONED] for number in rows.values()), (rows, books)


def _summary(output: Location, manifest: ledger.Manifest, work: Work, wall: Wall) -> Summary:
    engine, told = work.plan.engine, asdict(manifest)
    return Summary(
        **told["reconciliation"],
        captioned_now=work.committed.counts()[CAPTIONED] - work.captioned_before,
        seconds=round(wall.seconds, 3),
        speed=speed_account(wall, work.graphs, engine.actors * engine.gpus_per_actor, engine.actors),
        reasons=manifest.reasons,
        flags=told["flags"],
        translated={language: line.clips for language, line in manifest.translations.items()},
        untranslated={each.language: len(work.untranslated(each.language)) for each in work.plan.translations},
        complete=work.is_complete,
        stopped_by=work.stopped_by,
        is_over_budget=work.is_over_budget,
        output=str(output),
        generation=manifest.generation,
        shards=told["shards"],
    )


def root_of(output: Location) -> Location:
    """The folder below which the clips of `output` lie; ValueError where no run has begun."""
    return corpus_root(from_recipe(ledger.read_recipe(output).settings, output).corpus)
