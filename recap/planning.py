"""Before a run: what cannot start, and what there is to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recap import engines, ledger
from recap.corpus import OnListed, corpus_identity, scan
from recap.graph.sizing import local_machine, size_pools, translator_cpus
from recap.pipeline import Pipeline, absolute
from recap.prepared import PIXELS, REPAIR, glance
from recap.records import MISSING, STATUSES
from recap.storage import Location, is_store, location
from recap.translation import TranslationSettings, translator_problems
from recap.video import missing_nvdec

log = logging.getLogger(__name__)
Tell = Callable[[str], object]  # of what a listing of the corpus passed over
# What view_key and caption_key are made of, by the setting that a user writes; the rest is called alike.
WRITTEN = {
    "request.count": "frames.count",
    "request.view": "frames.view",
    "model": "model.checkpoint",
    "prompts": "prompt",
    "repair": "review.repair",
    **{name: f"decode.{name}" for name in PIXELS},
    **{name: f"model.{name}" for name in ("lora_alpha", "dtype", "visual_tokens", "pooling")},
    **{f"repair.{name}": f"review.{name}" for name in REPAIR},
}


def unheard(said: object) -> None:
    """Where nobody wants to be told, or a first look at the corpus told it."""


@dataclass(frozen=True)
class Plan:
    """What a run would find and do.

    `new`, `changed`, `vanished` and `returned` count clips against the last run, `done` those that have
    a record, per status, and `to_do` those that a run (within its limit) would caption; `to_translate`
    those that it would then put into each language, if all to do are captioned. `stale` gives, for each
    chained key that is not the last recipe's, the settings that made it another, before and after;
    `settings` does so for the whole pipeline. Both are empty for an output's first run. `missing` counts clips
    without a file, and `passed_over` says what in the corpus's folder is no clip and may have been meant as one,
    and what else about its clips may come as a surprise.
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
    to_translate: dict[str, int]
    keys: dict[str, str]
    stale: dict[str, dict[str, tuple[Any, Any]]]
    settings: dict[str, tuple[Any, Any]]
    missing: int = 0
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """A corpus as `check_corpus` reads it, and what that told."""

    clips: pa.Table
    passed_over: tuple[str, ...]
    corpus_moved: bool = False


def list_corpus(pipeline: Pipeline, *, corpus_moved: bool = False, on_listed: OnListed = unheard) -> Listing:
    """The corpus for `plan` and a forecast. Raises ValueError as `check_corpus` does."""
    passed_over: list[str] = []
    _tell_idle_cards(pipeline, passed_over.append)
    return Listing(
        check_corpus(pipeline, passed_over.append, corpus_moved, on_listed), tuple(passed_over), corpus_moved
    )


def plan(pipeline: Pipeline, listing: Listing | None = None, *, limit: int | None = None) -> Plan:
    """What `jobs.run` would do, with nothing written and no lease taken; the corpus is listed where it is not yet.

    Raises ValueError for a corpus or an output that a run would refuse. What the machine lacks does
    not count here.
    """
    listing = listing or list_corpus(pipeline)
    scanned = listing.clips
    keys = glance(pipeline).keys
    output = location(pipeline.output.path)
    snapshot, growth = ledger.foresee_snapshot(output, scanned)
    if listing.corpus_moved:
        check_moved(pipeline, growth, len(snapshot.present) + growth.vanished - growth.new - growth.returned)
    committed = ledger.observe(snapshot, ledger.fragment_folder(output, keys.values["caption_key"]))
    counts, to_do = committed.counts(), len(committed.missing(limit))
    untranslated = ledger.untranslated(committed, ledger.translation_folders(output, keys.values), limit)
    return Plan(
        output=str(output),
        clips=len(snapshot.present),
        **{name: getattr(growth, name) for name in ("new", "changed", "vanished", "returned")},
        done={status: counts[status] for status in STATUSES},
        reasons=dict(sorted(committed.reasons().items())),
        to_do=to_do,
        to_translate={language: clips + to_do for language, clips in untranslated.items()},
        keys=keys.values,
        missing=int(pc.sum(pc.equal(scanned["source_version"], MISSING)).as_py() or 0),
        passed_over=listing.passed_over,
        **_against_last(output, keys, pipeline),
    )


def _against_last(output: Location, keys: ledger.Keys, pipeline: Pipeline) -> dict[str, dict]:
    recipe = ledger.find_document(output, ledger.Recipe)
    if recipe is None:
        return {"stale": {}, "settings": {}}
    return {
        "stale": _stale(recipe, keys),
        "settings": ledger.differences(absolute(recipe.settings), absolute(pipeline.as_dict())),
    }


def _stale(recipe: ledger.Recipe, keys: ledger.Keys) -> dict[str, dict[str, tuple[Any, Any]]]:
    changed = [name for name, value in keys.values.items() if recipe.keys.get(name, value) != value]
    before = recipe.key_settings
    return {name: _written(name, ledger.differences(before.get(name, {}), keys.settings[name])) for name in changed}


def _written(key: str, changes: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    names = WRITTEN if key in ("view_key", "caption_key") else {}
    return {names.get(name, name): change for name, change in changes.items()}


def check_recipe(recipe: ledger.Recipe, pipeline: Pipeline) -> None:
    """Raise ValueError where `pipeline`, made from `recipe`, would caption or translate every clip anew."""
    stale = _stale(recipe, glance(pipeline).keys)
    stale.pop("review_key", None)  # stored texts are judged again, and none is made
    if stale:
        names = ", ".join(dict.fromkeys(name for changes in stale.values() for name in changes))
        raise ValueError(
            f"{pipeline.output.path}: its recipe.json no longer gives what its texts were made with ({names}): "
            "first `recap run` the pipeline's own YAML (`recap plan` says what that makes again), then retry"
        )


def check(
    pipeline: Pipeline, tell: Tell = log.warning, corpus_moved: bool = False, on_listed: OnListed = unheard
) -> pa.Table:
    """Everything that can be refused before work starts; returns the scanned corpus.

    Raises ValueError with every problem found, so that one attempt shows them all.
    """
    problems, nowhere, scanned = _problems_here(pipeline), list(_nowhere(pipeline)), None
    problems += nowhere
    try:
        scanned = None if nowhere else check_corpus(pipeline, tell, corpus_moved, on_listed)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ValueError("this run cannot start:\n  " + "\n  ".join(problems))
    assert scanned is not None
    _tell_idle_cards(pipeline, tell)
    return scanned


def _tell_idle_cards(pipeline: Pipeline, tell: Tell) -> None:
    said = engines.idle_cards(pipeline.model, pipeline.engine)
    if said and pipeline.ray.address is None:
        tell(said)


def check_machine(pipeline: Pipeline) -> None:
    """What `check` refuses of a corpus that is already listed."""
    problems = _problems_here(pipeline)
    if problems:
        raise ValueError("this run cannot start:\n  " + "\n  ".join(problems))


def _problems_here(pipeline: Pipeline) -> list[str]:
    on_cluster = pipeline.ray.address is not None
    return _setting_problems(pipeline, on_cluster=on_cluster) + ([] if on_cluster else _local_problems(pipeline))


def check_settings(pipeline: Pipeline) -> None:
    """What `check` refuses whatever the machine and the corpus, with nothing downloaded: ValueError with all of it."""
    problems = [*_setting_problems(pipeline, on_cluster=True), *_nowhere(pipeline)]
    if problems:
        raise ValueError("this pipeline cannot run:\n  " + "\n  ".join(problems))


def _setting_problems(pipeline: Pipeline, *, on_cluster: bool) -> list[str]:
    model = pipeline.model
    found = engines.problems(model, pipeline.prompt, pipeline.engine, on_cluster=on_cluster)
    return found + translator_problems(pipeline.translation, model)


def _nowhere(pipeline: Pipeline) -> Iterator[str]:
    """The addresses behind which there can be nothing."""
    for section, name in (("corpus", "path"), ("corpus", "root"), ("decode", "fetch_folder"), ("output", "path")):
        try:
            location(getattr(getattr(pipeline, section), name) or "")
        except ValueError as error:
            yield f"{section}.{name}: {error}"


def check_corpus(
    pipeline: Pipeline, tell: Tell = log.warning, corpus_moved: bool = False, on_listed: OnListed = unheard
) -> pa.Table:
    """The scanned corpus; ValueError when it cannot be read or `output.path` is not its output.

    Where it is `corpus_moved`, the output may have begun with the same corpus at another place.
    """
    scanned = scan(pipeline.corpus, tell, ledger.RESERVED, on_listed)
    spans = pc.sum(pc.or_(pc.is_valid(scanned["start_s"]), pc.is_valid(scanned["end_s"]))).as_py()
    if spans and pipeline.output.include_video:
        tell(f"output.include_video: each of the {spans} clips that are spans comes with the whole file that it is in")
    output = location(pipeline.output.path)
    with output_reached(output):
        ledger.check_owner(output, None if corpus_moved else corpus_identity(pipeline.corpus))
    return scanned


def check_moved(pipeline: Pipeline, growth: ledger.Growth, before: int) -> None:
    """ValueError where nothing is left of the clips that an output had `before`."""
    if before and growth.vanished == before:
        corpus = corpus_identity(pipeline.corpus)
        raise ValueError(
            f"{corpus} has none of the clips that {pipeline.output.path} has: it cannot be its corpus, moved"
        )


@contextmanager
def output_reached(output: Location) -> Iterator[None]:
    """A store that cannot be read is the user's to mend."""
    try:
        yield
    except OSError as error:
        if not is_store(output):
            raise
        raise ValueError(f"output.path: {output} cannot be read: {error}") from error


def _local_problems(pipeline: Pipeline) -> list[str]:
    no_chip = missing_nvdec() if pipeline.decode.hardware == "nvdec" else None
    problems = _pool_problem(pipeline), _translator_problem(pipeline.translation), no_chip
    return [problem for problem in problems if problem]


def _pool_problem(pipeline: Pipeline) -> str | None:
    engine = pipeline.engine
    machine = local_machine(engine.gpus_per_actor)
    wanted = {
        "decode_workers": pipeline.decode.workers,
        "caption_actors": 1 if engine.actors == "auto" else engine.actors,
    }
    try:
        size_pools(machine, gpus_per_actor=engine.gpus_per_actor, shares_cores=engine.computes_on_cpu, **wanted)
    except ValueError as error:
        return str(error)
    return None


def _translator_problem(settings: TranslationSettings) -> str | None:
    try:
        if settings.languages:
            translator_cpus(local_machine(settings.gpus_per_actor), settings)
    except ValueError as error:
        return str(error)
    return None
