"""Captions into another language, each examined, and asked for once more where it fails."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from recap.records import Caption
from recap.review import FAIL, Context, keep_better, review_translation
from recap.translation.base import Translation, Translator
from recap.translation.text import typeset

SILENCE = Translation("", "stop", 0)


def source_sha(text: str) -> str:
    """What links a translation to the caption that it renders: sha256 of its UTF-8 text, in hex."""
    return sha256(text.encode()).hexdigest()


def translate_captions(
    captions: Sequence[Caption], language: str, translator: Translator, model: str, context: Context
) -> list[Caption]:
    """`captions` in `language`, in order, with flags, verdict and score; `model` is the translator's name.

    They are judged in `context`. An empty caption stays empty. With `review.repair` what fails is translated once more
    and the better one kept.
    """
    attempts = _attempt(captions, language, translator, model, context)
    if context.settings.repair:
        failed = [place for place, each in enumerate(attempts) if each.verdict == FAIL and captions[place].text]
        again = _attempt([captions[place] for place in failed], language, translator, model, context, second=True)
        for place, second in zip(failed, again, strict=True):
            attempts[place] = keep_better(attempts[place], second)
    return attempts


def untranslated(source: Caption, language: str, model: str, context: Context) -> Caption:
    """What stands for the translation of a caption that the translator fails on: an empty one, flagged as that."""
    return _caption(source, SILENCE, language, model, context)


def _attempt(
    captions: Sequence[Caption],
    language: str,
    translator: Translator,
    model: str,
    context: Context,
    second: bool = False,
) -> list[Caption]:
    spoken = [place for place, caption in enumerate(captions) if caption.text]
    found = translator.translate([captions[place].text for place in spoken], language, second=second) if spoken else []
    texts = dict(zip(spoken, found, strict=True))
    return [_caption(c, texts.get(place, SILENCE), language, model, context) for place, c in enumerate(captions)]


def _caption(source: Caption, said: Translation, language: str, model: str, context: Context) -> Caption:
    translation = Caption(
        prompt=source.prompt,
        text=typeset(said.text, language),
        language=language,
        source_sha=source_sha(source.text),
        model=model,
        finish_reason=said.finish_reason,
        output_tokens=said.output_tokens,
    )
    return review_translation(source, translation, context)
