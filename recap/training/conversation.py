"""Conversations as token ids and labels: what is asked carries no loss, what is answered does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recap.pllava.prompts import IMAGE

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer; `instruction` goes before the first question of a conversation."""

    question: str
    answer: str
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class Format:
    """How turns become text. `{q}` is the question, `{media}` empty but in the first turn; `end` closes an answer."""

    media: str
    ask: str
    end: str


# How the published models were trained: source magic-research/PLLaVA, dataset/it_dataset.py; and how the
# templates of `recap.pllava.prompts` ask: what follows a prompt there is what is learnt here.
FORMATS = {
    "videochat2": Format(f"{IMAGE}\n", "USER:{media}{q}{eos}ASSISTANT:", "{eos}"),
    "plain": Format(f"{IMAGE} ", "USER:{media}{q} ASSISTANT:", "{eos}"),
    "llavanext": Format(
        f"{IMAGE}\n<|im_end|>\n<|im_start|>user\n",
        "<|im_start|>user\n{media}{q}<|im_end|>\n<|im_start|>assistant\n",
        "<|im_end|>\n",
    ),
}


def encode(turns: Sequence[Turn], form: Format, tokenizer: Any, max_tokens: int) -> tuple[list[int], list[int]]:
    """Token ids and labels of equal length: `IGNORED` outside the answers and the ends that close them.

    Each span is tokenised on its own and only the first begins with the tokenizer's first token, as in the
    reference. Cut at `max_tokens`.
    """
    ids: list[int] = []
    labels: list[int] = []
    for number, turn in enumerate(turns):
        asked = _tokens(tokenizer, _question(turn, form, number == 0, tokenizer.eos_token), first=number == 0)
        answered = _tokens(tokenizer, turn.answer + form.end.format(eos=tokenizer.eos_token), first=False)
        ids += asked + answered
        labels += [IGNORED] * len(asked) + answered
    return ids[:max_tokens], labels[:max_tokens]


def _question(turn: Turn, form: Format, first: bool, eos: str) -> str:
    head = f"{turn.instruction} " if first and turn.instruction else ""
    return head + form.ask.format(media=form.media if first else "", q=turn.question, eos=eos)


def _tokens(tokenizer: Any, text: str, *, first: bool) -> list[int]:
    return tokenizer(text, add_special_tokens=first)["input_ids"]
