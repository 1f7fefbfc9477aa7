"""Captions in another language or with letters of another script."""

from __future__ import annotations

import re

from recap.review.context import Context
from recap.review.draft import Draft

SCRIPTS = {
    "latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
    "han": "\u3400-\u9fff\uf900-\ufaff",
    "kana": "\u3041-\u3096\u30a1-\u30fa",
    "hangul": "\uac00-\ud7a3\u1100-\u11ff",
    "cyrillic": "\u0400-\u052f",
    "greek": "\u0370-\u03ff",
    "arabic": "\u0620-\u064a\u0671-\u06d3",
    "hebrew": "\u05d0-\u05ea",
    "devanagari": "\u0904-\u0963",
    "thai": "\u0e01-\u0e4e",
}
_IN_LATIN = (
    "af az bs ca ceb cs cy da de en es et eu fi fr ga gl ha hr hu id is it jv lt lv ms mt nb nl nn no pl pt ro sk sl so"
    " sq sv sw tl tr vi xh yo zu"
)
_WRITTEN_IN = {
    **dict.fromkeys(_IN_LATIN.split(), ("latin",)),
    **dict.fromkeys(("zh", "yue"), ("han",)),
    **dict.fromkeys(("ru", "uk", "bg", "be", "mk", "kk", "ky", "mn"), ("cyrillic",)),
    **dict.fromkeys(("ar", "fa", "ur"), ("arabic",)),
    **dict.fromkeys(("hi", "mr", "ne"), ("devanagari",)),
    "ja": ("han", "kana"),
    "ko": ("hangul", "han"),
    "el": ("greek",),
    "he": ("hebrew",),
    "sr": ("cyrillic", "latin"),
    "th": ("thai",),
}
_LETTERS = {name: re.compile(f"[{ranges}]") for name, ranges in SCRIPTS.items()}
_LETTERS["greek"] = re.compile("[{0}](?=[{0}])|(?<=[{0}])[{0}]".format(SCRIPTS["greek"]))  # a lone one is a symbol
_EASTERN_WEIGHT = {"han": 0.6, "kana": 0.6}
_WORDS = {name: re.compile(f"[{ranges}]{'' if name in _EASTERN_WEIGHT else '+'}") for name, ranges in SCRIPTS.items()}
_KANA_SHARE = 0.3  # Japanese has more, a Chinese text with a stray Japanese word less
_LATIN_WORD = re.compile(rf"[{SCRIPTS['latin']}]+")
_LATIN_PROSE = re.compile(r"(?:\b[a-z]+\b[ ,]+){2}[a-z]+\b")
_INTRODUCED = re.compile(
    r"\b(?:read(?:s|ing)?|say(?:s|ing)?|labell?ed|written|titled|named|called|words?|text|characters?|letters?|symbols?|spell(?:s|ing)?|marked|meaning)"
    r"(?: as| in \w+)?[ :,]*(?P<cited>[^\W\d_a-zA-Z][^.,;a-zA-Z]*)"
)
_BRACKETED = re.compile(r"[(（][^(（)）]{0,200}[)）]")
_LEAST_LETTERS = 20
_HALF_LETTERS = 60


def is_wrong_language(draft: Draft, context: Context) -> bool:
    """Most letters, or the words themselves, belong to another language than the caption's."""
    text, language = draft.unquoted, draft.caption.language
    if 2 * own_share(text, language) < 1:
        return True
    counts = script_counts(text)
    if language == "zh":
        return counts["kana"] > _KANA_SHARE * sum(counts.values())
    if sum(counts.values()) < _LEAST_LETTERS:
        return False
    return any(_is_foreign(part, language, context) for part in _halves(text, draft.own_sentences))


def _is_foreign(text: str, language: str, context: Context) -> bool:
    probabilities = context.identify(text)
    return probabilities.get(language, 1.0) < context.settings.language_probability


def _halves(text: str, parts: tuple[str, ...]) -> list[str]:
    """The text, or its two halves where both are long enough to tell the language of each."""
    middle = (len(parts) + 1) // 2
    halves = [" ".join(parts[:middle]), " ".join(parts[middle:])]
    return halves if min(map(len, halves)) >= _HALF_LETTERS else [text]


def has_mixed_scripts(draft: Draft, context: Context) -> bool:
    """Letters of another script outside quotation marks and brackets, in a text that is mostly in its own."""
    expected = scripts_of(draft.caption.language)
    text = draft.unquoted
    if not expected or (text.isascii() and "latin" in expected):
        return False
    counts = script_counts(_INTRODUCED.sub(" ", _BRACKETED.sub(" ", text)))
    own = sum(counts[script] for script in expected)
    if 2 * own_share(text, draft.caption.language) < 1:
        return False
    foreign = sum(counts.values()) - own - counts["latin"] * ("latin" not in expected)
    return foreign > context.settings.foreign_letters or ("latin" not in expected and _latin_prose(text, own, context))


def _latin_prose(text: str, own: int, context: Context) -> bool:
    """Untranslated Latin words: three in a row in lower case, or too large a share of all."""
    latin = len(_LATIN_WORD.findall(text))
    return _LATIN_PROSE.search(text) is not None or latin > context.settings.latin_share * (latin + own / 2)


def own_share(text: str, language: str) -> float:
    """The part of a text's words that are in the language's scripts, all where it has none that is known.

    Five Chinese characters weigh three words.
    """
    scripts = scripts_of(language)
    if not scripts or text.isascii():
        return float(not scripts or "latin" in scripts or not _LATIN_WORD.search(text))
    weights = {name: len(pattern.findall(text)) for name, pattern in _WORDS.items()}
    total = sum(weight * _EASTERN_WEIGHT.get(name, 1) for name, weight in weights.items())
    own = sum(weights[name] * _EASTERN_WEIGHT.get(name, 1) for name in scripts)
    return own / total if total else 1.0


def script_counts(text: str) -> dict[str, int]:
    """Letters of each script."""
    if text.isascii():
        return dict.fromkeys(_LETTERS, 0) | {"latin": len(_LETTERS["latin"].findall(text))}
    return {name: len(pattern.findall(text)) for name, pattern in _LETTERS.items()}


def scripts_of(language: str) -> tuple[str, ...]:
    """The scripts that a language is written in; none for one that is not listed."""
    return _WRITTEN_IN.get(language, ())


def reads_english(language: str) -> bool:
    """English words in a text mean what they do in English: it is that, or is written in another script."""
    scripts = scripts_of(language)
    return language == "en" or bool(scripts and "latin" not in scripts)
