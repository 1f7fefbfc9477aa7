"""A pipeline whose models were fetched and looked at: what its captions are filed under, what its stages are told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from recap import engines, ledger
from recap.graph.plan import WorkPlan
from recap.graph.sizing import Machine, caption_actors
from recap.graph.translating import TranslationPlan
from recap.pipeline import Pipeline
from recap.records import FrameRequest
from recap.storage import location, resolved
from recap.translation import TranslationSettings, fetch_translator, translator_digest, translator_name

PICTURES_SHARE = 0.25  # of `decode.memory_gb`: they are put together from others as large, beside what decodes
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


@dataclass(frozen=True)
class Prepared:
    """`model` and `translation` are the fetched ones, `request` is what the model's tower wants to see of a clip."""

    pipeline: Pipeline
    model: engines.ModelSettings
    request: FrameRequest
    translation: TranslationSettings

    @cached_property
    def keys(self) -> ledger.Keys:
        """The chained keys: what a caption depends on, and nothing else; one for each language that it is put into."""
        review = asdict(self.pipeline.review)
        keys = {
            "view_key": {"request": asdict(self.request)} | _some(self.pipeline.decode, PIXELS),
            "caption_key": self._caption(),
            "review_key": {name: value for name, value in review.items() if name not in NOT_JUDGED},
        }
        languages = {_key_of(language): language for language in self.translation.languages}
        for name, language in languages.items():
            keys[name] = self._translating() | {"language": language}
        return ledger.Keys(keys, dict.fromkeys(languages, "caption_key"))

    def plan(self, epoch: int) -> WorkPlan:
        """What the stages of a run need to know."""
        pipeline, keys = self.pipeline, self.keys.values
        return WorkPlan(
            request=self.request,
            decode=pipeline.decode,
            model=self.model,
            model_name=engines.model_name(pipeline.model),
            prompt=pipeline.prompt,
            engine=pipeline.engine,
            ray=pipeline.ray,
            review=pipeline.review,
            fragments=ledger.fragment_folder(resolved(location(pipeline.output.path)), keys["caption_key"]),
            commit_every_s=pipeline.output.commit_every_s,
            epoch=epoch,
            translations=tuple(self._translations(epoch)),
            caption_key=keys["caption_key"],
            review_key=keys["review_key"],
        )

    def actors(self, machine: Machine, clips: int) -> int:
        """How many copies of the model `machine` is to have for `clips`."""
        model_bytes = engines.fetched_bytes(self.model, self.pipeline.engine)
        return caption_actors(self.pipeline.engine, machine, model_bytes, self.request.picture_bytes, clips)

    def _caption(self) -> dict[str, Any]:
        pipeline, model = self.pipeline, self.model
        drawn = ("temperature", "seed") if pipeline.engine.temperature else ()  # greedy decoding draws nothing
        rounded = ("quantization",) if pipeline.engine.quantization else ()
        return {
            "model": engines.model_name(pipeline.model),
            "weights": engines.fetched_digest(model, pipeline.engine),
            **_some(model, ("lora_alpha", "dtype", "visual_tokens", "pooling")),
            "prompts": list(engines.prompt_texts(pipeline.prompt).items()),
            "engine": _some(pipeline.engine, (*DECODING, *drawn, *rounded)),
            "repair": _some(pipeline.review, REPAIR) if pipeline.review.repair else None,
        }

    def _translating(self) -> dict[str, Any]:
        pipeline, translation = self.pipeline, self.translation
        common = {
            "engine": translation.engine,
            "model": self._translator_name,
            "weights": translator_digest(translation),
            "max_new_tokens": translation.max_new_tokens,
            "retry": pipeline.review.repair,
        }
        if translation.engine == "llm":
            asked = {"template": pipeline.prompt.template, "instruction": translation.instruction}
            return common | asked | _some(self.model, ("lora_alpha", "dtype"))
        return common | _some(translation, ("dtype", "beams", "piece_tokens"))

    def _translations(self, epoch: int) -> Iterator[TranslationPlan]:
        pipeline, keys = self.pipeline, self.keys.values
        for language in self.translation.languages:
            key = keys[_key_of(language)]
            yield TranslationPlan(
                language=language,
                key=key,
                settings=self.translation,
                translator_name=self._translator_name,
                model=self.model,
                template=pipeline.prompt.template,
                review=pipeline.review,
                fragments=ledger.overlay_folder(resolved(location(pipeline.output.path)), key),
                epoch=epoch,
                caption_key=keys["caption_key"],
                review_key=keys["review_key"],
                cuda_graphs=pipeline.engine.cuda_graphs,
            )

    @property
    def _translator_name(self) -> str:
        return translator_name(self.pipeline.translation, self.pipeline.model)


def prepare(pipeline: Pipeline) -> Prepared:
    """Fetch what `pipeline` names. ValueError where prompt, video and answer exceed the model's context, or it is none.

    The former is said before any weights are downloaded.
    """
    request = check_view(pipeline)
    translation = fetch_translator(pipeline.translation)
    model = engines.fetch(pipeline.model, pipeline.engine)
    engines.check_fetched(model, pipeline.engine)
    return Prepared(pipeline, model, request, translation)


def glance(pipeline: Pipeline) -> Prepared:
    """`prepare`, with no weights downloaded and nothing checked: enough for the keys."""
    model = engines.fetch(pipeline.model, pipeline.engine, weights=False)
    translation = fetch_translator(pipeline.translation, weights=False)
    return Prepared(pipeline, model, _request(pipeline, model), translation)


def check_view(pipeline: Pipeline) -> FrameRequest:
    """What the model wants to see of a clip; ValueError when prompt, video and answer exceed its context.

    Needs the checkpoint's config and tokenizer alone: of a hub id nothing else is downloaded yet.
    """
    model = engines.fetch(pipeline.model, pipeline.engine, weights=False)
    request = _request(pipeline, model)
    engines.check_length(model, pipeline.prompt, pipeline.engine, request)
    return request


def _request(pipeline: Pipeline, model: engines.ModelSettings) -> FrameRequest:
    """What a fetched model wants to see of a clip; ValueError for more than `decode.memory_gb` has room for."""
    count, decode = pipeline.frames.count, pipeline.decode
    request = engines.frame_request(model, pipeline.engine, count, pipeline.frames.view)
    if request.picture_bytes > PICTURES_SHARE * decode.memory_bytes:
        raise ValueError(
            f"frames.count {count}: a clip's pictures take {request.picture_bytes / 2**30:.1f} GB, more than "
            f"{PICTURES_SHARE:.0%} of decode.memory_gb {decode.memory_gb:g}: lower the one or raise the other"
        )
    return request


def _some(settings: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in names}


def _key_of(language: str) -> str:
    return ledger.TRANSLATION_KEY + language
