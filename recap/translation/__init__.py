"""The second language: captions rendered, examined, and linked to what they render. Importing this needs no torch."""

from recap.translation.base import Translation
from recap.translation.opening import (
    fetch_translator,
    open_translator,
    translator_digest,
    translator_name,
    translator_problems,
)
from recap.translation.settings import TranslationSettings
from recap.translation.translating import source_sha, translate_captions, untranslated

__all__ = [
    "Translation",
    "TranslationSettings",
    "fetch_translator",
    "open_translator",
    "source_sha",
    "translate_captions",
    "translator_digest",
    "translator_name",
    "translator_problems",
    "untranslated",
]
