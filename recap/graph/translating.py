"""The graph of the second language: stored captions in, committed translations out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from uuid import uuid4

from recap.engines import UNWATCHED, ModelSettings
from recap.graph.dealing import bundles
from recap.graph.stopping import Stop
from recap.ledger import FragmentWriter
from recap.records import CAPTIONED, Caption, Clip, Record
from recap.review import Context, ReviewSettings
from recap.storage import Location
from recap.translation import TranslationSettings, open_translator, translate_captions, untranslated

log = logging.getLogger(__name__)
BLOCK_CLIPS = 256  # what a crash may cost; each block is a fragment
PLAIN = "A dog runs across a field."  # a translator that fails on this one is broken, or does not know the language
Captioned = tuple[Clip, tuple[Caption, ...]]


@dataclass(frozen=True)
class TranslationPlan:
    """What translating into one language needs to know; `settings.checkpoint` is a local folder by now."""

    language: str
    key: str
    settings: TranslationSettings
    translator_name: str
    model: ModelSettings
    template: str
    review: ReviewSettings
    fragments: Location
    epoch: int
    caption_key: str
    review_key: str
    cuda_graphs: bool = True

    @property
    def context(self) -> Context:
        """What translations are judged against."""
        return Context(self.review, self.settings.asked(self.language))


class TranslateStage:
    """Captions in, committed records that hold their translations out. So many `copies` of it may share a machine."""

    def __init__(self, plan: TranslationPlan, writer: str, watch: AbstractContextManager = UNWATCHED, copies: int = 1):
        self.plan = plan
        engine = {"copies": copies, "cuda_graphs": plan.cuda_graphs}
        self.translator = open_translator(plan.settings, plan.model, plan.template, watch, **engine)
        self.writer = FragmentWriter(plan.fragments, plan.epoch, writer, flush_s=30.0)

    def translate(self, clips: Sequence[Captioned]) -> int:
        """How many clips have their translations; they are committed when this returns."""
        plan = self.plan
        done = iter(self._translations([(clip, caption) for clip, captions in clips for caption in captions]))
        for clip, captions in clips:
            texts = tuple(next(done) for _ in captions)
            self.writer.append(Record(clip, CAPTIONED, plan.caption_key, plan.review_key, texts))
        self.writer.flush()
        return len(clips)

    def _translations(self, sources: Sequence[tuple[Clip, Caption]]) -> list[Caption]:
        """In order; in halves where the translator fails on all together."""
        with suppress(Exception):
            return self._attempt([caption for _, caption in sources])
        self.translator.translate([PLAIN], self.plan.language)
        if len(sources) > 1:
            half = len(sources) // 2
            return self._translations(sources[:half]) + self._translations(sources[half:])
        return self._once_more(*sources[0])

    def _once_more(self, clip: Clip, caption: Caption) -> list[Caption]:
        """Empty where the translator fails on a lone caption again, unless for want of memory."""
        plan = self.plan
        try:
            return self._attempt([caption])
        except MemoryError:  # which says nothing of the caption
            raise
        except Exception as error:
            what = f"{plan.language} translation of its caption {caption.prompt}"
            log.warning("%s has no %s: %r", clip.uri, what, error)
        return [untranslated(caption, plan.language, plan.translator_name, plan.context)]

    def _attempt(self, captions: Sequence[Caption]) -> list[Caption]:
        plan = self.plan
        return translate_captions(captions, plan.language, self.translator, plan.translator_name, plan.context)

    def close(self) -> None:
        """Let the model go."""
        self.writer.close()
        self.translator.close()


def blocks(clips: Iterable[Captioned], total: int, actors: int) -> Iterator[list[Captioned]]:
    """Some clips at a time, so that every actor has several turns."""
    return bundles(clips, max(1, min(BLOCK_CLIPS, total // (4 * actors))))


def loop_translation(clips: Sequence[Captioned], stop: Stop, *, plan: TranslationPlan) -> Iterator[int]:
    """Translate in this process; how many clips are done each time some are, until `stop`."""
    with closing(TranslateStage(plan, uuid4().hex)) as stage:
        for block in blocks(clips, len(clips), actors=1):
            if stop:
                return
            yield stage.translate(block)
