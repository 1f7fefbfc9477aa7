"""Languages: their names, and what each family of translation models calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable

NAMES = {
    "ar": "Arabic",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "hi": "Hindi",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
NLLB = {
    "ar": "arb_Arab",
    "de": "deu_Latn",
    "en": "eng_Latn",
    "es": "spa_Latn",
    "fr": "fra_Latn",
    "hi": "hin_Deva",
    "id": "ind_Latn",
    "it": "ita_Latn",
    "ja": "jpn_Jpan",
    "ko": "kor_Hang",
    "nl": "nld_Latn",
    "pl": "pol_Latn",
    "pt": "por_Latn",
    "ru": "rus_Cyrl",
    "th": "tha_Thai",
    "tr": "tur_Latn",
    "uk": "ukr_Cyrl",
    "vi": "vie_Latn",
    "zh": "zho_Hans",
}
# MarianMT names its targets by three letters, two, or a script beside them.
TWO_LETTERS = {name[:3]: code for code, name in NLLB.items()} | {"ara": "ar", "cmn": "zh", "jap": "ja"}
SCRIPTS = {"zh": ("cmn_Hans", "zho_Hans")}
NO_SPACES = {"ja", "th", "zh"}
SIGN = re.compile(r">>\w+<<|<2\w+>|__[a-z]{2,3}__|[a-z]{3}_[A-Z][a-z]{3}")  # MarianMT's, MADLAD's, M2M-100's, NLLB's


def language_name(code: str) -> str:
    """English name of a language, for prompts; the code itself where it is not known."""
    return NAMES.get(code, code)


def sign_of(language: str, vocabulary: Iterable[str]) -> str:
    """The word of a model's vocabulary that stands for a language; ValueError where there is none."""
    codes = (*SCRIPTS.get(language, ()), *(long for long, short in TWO_LETTERS.items() if short == language), language)
    asked = [*(f">>{code}<<" for code in codes), f"<2{language}>", f"__{language}__", NLLB.get(language)]
    signs = set(filter(SIGN.fullmatch, vocabulary))
    for sign in asked:
        if sign in signs:
            return sign
    known = ", ".join(sorted(signs)[:40]) or "no language that it names"
    raise ValueError(
        f"translation.languages: the model translates into {known}, not into {language}; "
        "choose another translation.checkpoint"
    )
