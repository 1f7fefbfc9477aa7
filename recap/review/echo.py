"""Captions that recite what the model was told instead of what it saw."""

from __future__ import annotations

import re
from functools import lru_cache

from recap.review.context import Context
from recap.review.draft import Draft, sentences, words

_OPENING_WORDS = 4
_MARKERS = re.compile(
    r"<\|?(?:im_start|im_end|endoftext|system|user|assistant|image|video|s|/s)\|?>|\[/?INST\]|<</?SYS>>"
    r"|###\s*(?:Instruction|Human|Assistant|Response)|\b(?:USER|ASSISTANT|HUMAN|SYSTEM)\s*:"
    r"|^[ \t]*(?:User|Assistant|Human|System)\s*[:：]",
    re.M,
)
_TASK = r"(?:task|job|answer|response|reply|description|caption|goal)"
_WRITE = r"(?:[Dd]escribe|[Pp]rovide|[Ww]rite|[Gg]enerate|[Gg]ive|[Ss]ummari[sz]e)"
_WRITTEN = r"(?:video|clip|caption|paragraph|sentences?|description of (?:the|this|what))"
_ORDERS = (
    rf"\b[Yy]our {_TASK} (?:is|should|must|will|has)\b",
    r"\b[Yy]ou (?:are|will be) (?:a|an|given|provided|asked|shown|to)\b",
    r"\b[Yy]ou (?:should|must) (?:not )?(?:describe|write|avoid|answer|mention|report|include)\b",
    rf"(?:^|[.!?:]\s+)(?:Please )?{_WRITE}\b[^.!?]{{0,60}}\b{_WRITTEN}\b",
    r"(?:^|[.!?:]\s+)(?:Please )?(?:Avoid|Do not|Don't) (?:mention|includ|describ|provid|us|add|mak|speculat)",
    r"(?:^|[。！？：]|\n)请(?:你)?(?:用|详细|仔细|描述|简要|根据|以|不要)|你(?:是一个|是一名|的任务|的回答|应该|需要)",
)
_ADDRESSED = re.compile("|".join(_ORDERS))


def is_echo(draft: Draft, context: Context) -> bool:
    """Chat markers, a run of the prompt's words, a sentence that opens as one of the prompt's, or orders to a model."""
    length = context.settings.echo_words
    told = f"{context.system}\n{context.instruction}"
    return (
        _MARKERS.search(draft.text) is not None
        or _ADDRESSED.search(draft.unquoted) is not None
        or shares_run(draft.words, told, length)
        or opens_alike(draft.sentences, told)
    )


def shares_run(caption: tuple[str, ...], told: str, length: int) -> bool:
    """The caption holds `length` words of `told` in a row (all of them, if it has fewer)."""
    runs, length = _runs(told, length)
    return any(caption[start : start + length] in runs for start in range(len(caption) - length + 1)) if runs else False


def opens_alike(caption: tuple[str, ...], told: str) -> bool:
    """A sentence of the caption begins with the first four words of one of `told`, or is a piece of it."""
    openings, whole = _openings(told)
    for sentence in map(words, caption):
        long_enough = len(sentence) >= _OPENING_WORDS
        if long_enough and (sentence[:_OPENING_WORDS] in openings or f" {' '.join(sentence)} " in whole):
            return True
    return False


@lru_cache(maxsize=64)
def _runs(told: str, length: int) -> tuple[frozenset[tuple[str, ...]], int]:
    told_words = words(told)
    length = min(length, len(told_words))
    if length < _OPENING_WORDS:
        return frozenset(), length
    return frozenset(told_words[start : start + length] for start in range(len(told_words) - length + 1)), length


@lru_cache(maxsize=64)
def _openings(told: str) -> tuple[frozenset[tuple[str, ...]], str]:
    openings = (words(sentence)[:_OPENING_WORDS] for sentence in sentences(told))
    whole = f" {' '.join(words(told))} "
    return frozenset(opening for opening in openings if len(opening) == _OPENING_WORDS), whole
