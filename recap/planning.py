"""Before a run: what cannot start, what captions depend on, and what there is to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from recap import engines, ledger
from recap.corpus import caller_columns, corpus_identity, scan
from recap.graph.plan import WorkPlan
from recap.graph.sizing import local_machine, size_pools, translator_cpus
from recap.graph.translating import TranslationPlan
from recap.pipeline import Pipeline, absolute
from recap.records import STATUSES, FrameRequest
from recap.storage import Location, is_store, location, resolved
from recap.translation import (
    TranslationSettings,
    fetch_translator,
    translator_digest,
    translator_name,
    translator_problems,
)
from recap.video import missing_nvdec

PIXELS = ("truncated", "fallback", "decoder", "hardware")
DECODING = ("kind", "max_new_tokens", "repetition_penalty")
REPAIR = ("repair_penalty", "repair_length", "repair_instruction")  # what second captions are made with
NOT_JUDGED = {
    "repair",
    *REPAIR,
    "on_fail",
    "trim_openings",
    "duplicate_similarity",
}  # no verdict in a fragment has them
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


@dataclass(frozen=True)
class Plan:
    """What a run would find and do.

    `new`, `changed`, `vanished` and `returned` count clips against the last run, `done` those that have
    a record, per status, and `to_do` those that a run (within its limit) would caption; `to_translate`
    those that it would then put into each language, if all to do are captioned. `stale` gives, for each
    chained key that is not the last recipe's, the settings that made it another, before and after;
    `settings` does so for the whole pipeline. Both are empty for an output's first run.
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


def plan(pipeline: Pipeline, *, limit: int | None = None) -> Plan:
    """What `jobs.run` would do, with nothing written and no lease taken.

    Raises ValueError for a corpus or an output that a run would refuse. What the machine lacks does
    not count here.
    """
    scanned = check_corpus(pipeline)
    keys = _keys_today(pipeline)
    output = location(pipeline.output.path)
    snapshot, growth = ledger.foresee_snapshot(output, scanned)
    committed = ledger.observe(snapshot, ledger.fragment_folder(output, keys.values["caption_key"]))
    counts, to_do = committed.counts(), len(committed.missing(limit))
    untranslated = ledger.untranslated(committed, ledger.translation_folders(output, keys.values))
    return Plan(
        output=str(output),
        clips=len(snapshot.present),
        **{name: getattr(growth, name) for name in ("new", "changed", "vanished", "returned")},
        done={status: counts[status] for status in STATUSES},
        reasons=dict(sorted(committed.reasons().items())),
        to_do=to_do,
        to_translate={language: clips + to_do for language, clips in untranslated.items()},
        keys=keys.values,
        **_against_last(output, keys, pipeline),
    )


def _against_last(output: Location, keys: ledger.Keys, pipeline: Pipeline) -> dict[str, dict]:
    recipe = ledger.read_document(output, "recipe.json")
    if recipe is None:
        return {"stale": {}, "settings": {}}
    return {
        "stale": _stale(recipe, keys),
        "settings": ledger.differences(absolute(recipe["settings"]), absolute(pipeline.as_dict())),
    }


def _stale(recipe: Mapping[str, Any], keys: ledger.Keys) -> dict[str, dict[str, tuple[Any, Any]]]:
    changed = [name for name, value in keys.values.items() if recipe["keys"].get(name, value) != value]
    before = recipe["key_settings"]
    return {name: _written(name, ledger.differences(before.get(name, {}), keys.settings[name])) for name in changed}


def _written(key: str, changes: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    names = WRITTEN if key in ("view_key", "caption_key") else {}
    return {names.get(name, name): change for name, change in changes.items()}


def check_recipe(recipe: Mapping[str, Any], pipeline: Pipeline) -> None:
    """Raise ValueError where `pipeline`, made from `recipe`, would caption or translate every clip anew."""
    stale = _stale(recipe, _keys_today(pipeline))
    stale.pop("review_key", None)  # stored texts are judged again, and none is made
    if stale:
        names = ", ".join(dict.fromkeys(name for changes in stale.values() for name in changes))
        raise ValueError(
            f"{pipeline.output.path}: its recipe.json no longer gives what its texts were made with ({names}): "
            "first `recap run` the pipeline's own YAML (`recap plan` says what that makes again), then retry"
        )


def check(pipeline: Pipeline) -> pa.Table:
    """Everything that can be refused before work starts; returns the scanned corpus.

    Raises ValueError with every problem found, so that one attempt shows them all.
    """
    problems = engines.problems(
        pipeline.model, pipeline.prompt, pipeline.engine, on_cluster=pipeline.ray.address is not None
    )
    problems += translator_problems(pipeline.translation, pipeline.model)
    scanned = None
    if pipeline.ray.address is None:
        problems += _local_problems(pipeline)
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
    output = location(pipeline.output.path)
    with output_reached(output):
        ledger.check_owner(output, corpus_identity(pipeline.corpus))
    return scanned


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


def check_prompts(pipeline: Pipeline) -> None:
    """Raise ValueError for a template that is not known, or a text that it has no place for. Needs no checkpoint."""
    engines.prompt_texts(pipeline.prompt)


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


def _keys_today(pipeline: Pipeline) -> ledger.Keys:
    """`derive_keys`, with no weights downloaded."""
    model = engines.fetch(pipeline.model, pipeline.engine, weights=False)
    translation = fetch_translator(pipeline.translation, weights=False)
    return derive_keys(pipeline, model, frame_request(pipeline, model), translation)


def derive_keys(
    pipeline: Pipeline, model: engines.ModelSettings, request: FrameRequest, translation: TranslationSettings
) -> ledger.Keys:
    """The chained keys: what a caption depends on, and nothing else; one for each language that it is put into.

    `model` and `translation` are the fetched ones, `request` what the model's tower wants to see.
    """
    drawn = ("temperature", "seed") if pipeline.engine.temperature else ()  # greedy decoding draws nothing
    rounded = ("quantization",) if pipeline.engine.quantization else ()
    caption = {
        "model": engines.model_name(pipeline.model),
        "weights": engines.fetched_digest(model, pipeline.engine),
        "lora_alpha": model.lora_alpha,
        "dtype": model.dtype,
        "visual_tokens": model.visual_tokens,
        "pooling": model.pooling,
        "prompts": list(engines.prompt_texts(pipeline.prompt).items()),
        "engine": {name: getattr(pipeline.engine, name) for name in (*DECODING, *drawn, *rounded)},
        "repair": {name: getattr(pipeline.review, name) for name in REPAIR} if pipeline.review.repair else None,
    }
    view = {"request": asdict(request)} | {name: getattr(pipeline.decode, name) for name in PIXELS}
    review = {name: value for name, value in asdict(pipeline.review).items() if name not in NOT_JUDGED}
    keys = {"view_key": view, "caption_key": caption, "review_key": review}
    languages = {_key_of(language): language for language in translation.languages}
    for name, language in languages.items():
        keys[name] = _translation_settings(pipeline, model, translation) | {"language": language}
    return ledger.Keys(keys, dict.fromkeys(languages, "caption_key"))


def _key_of(language: str) -> str:
    return ledger.TRANSLATION_KEY + language


def _translation_settings(
    pipeline: Pipeline, model: engines.ModelSettings, translation: TranslationSettings
) -> dict[str, Any]:
    common = {
        "engine": translation.engine,
        "model": translator_name(pipeline.translation, pipeline.model),
        "weights": translator_digest(translation),
        "max_new_tokens": translation.max_new_tokens,
        "retry": pipeline.review.repair,
    }
    if translation.engine == "llm":
        asked = {"template": pipeline.prompt.template, "instruction": translation.instruction}
        return common | asked | {"lora_alpha": model.lora_alpha, "dtype": model.dtype}
    return common | {name: getattr(translation, name) for name in ("dtype", "beams", "piece_tokens")}


def work_plan(
    pipeline: Pipeline,
    model: engines.ModelSettings,
    request: FrameRequest,
    translation: TranslationSettings,
    keys: ledger.Keys,
    epoch: int,
) -> WorkPlan:
    """What the stages need to know of a checked pipeline with its fetched model."""
    output = resolved(location(pipeline.output.path))
    return WorkPlan(
        request=request,
        decode=pipeline.decode,
        model=model,
        model_name=engines.model_name(pipeline.model),
        prompt=pipeline.prompt,
        engine=pipeline.engine,
        ray=pipeline.ray,
        review=pipeline.review,
        fragments=ledger.fragment_folder(output, keys.values["caption_key"]),
        commit_every_s=pipeline.output.commit_every_s,
        epoch=epoch,
        translations=tuple(_translation_plans(pipeline, model, translation, keys, epoch)),
        **{name: keys.values[name] for name in ("caption_key", "review_key")},
    )


def _translation_plans(
    pipeline: Pipeline,
    model: engines.ModelSettings,
    translation: TranslationSettings,
    keys: ledger.Keys,
    epoch: int,
) -> Iterator[TranslationPlan]:
    for language in translation.languages:
        key = keys.values[_key_of(language)]
        yield TranslationPlan(
            language=language,
            key=key,
            settings=translation,
            translator_name=translator_name(pipeline.translation, pipeline.model),
            model=model,
            template=pipeline.prompt.template,
            review=pipeline.review,
            fragments=ledger.overlay_folder(resolved(location(pipeline.output.path)), key),
            epoch=epoch,
            caption_key=keys.values["caption_key"],
            review_key=keys.values["review_key"],
            cuda_graphs=pipeline.engine.cuda_graphs,
        )
