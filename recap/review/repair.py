"""What to try once for a caption that failed: declared changes of decoding, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from recap.review.settings import ReviewSettings

ASKED_FOR = "English"  # of captions; other languages are made of them by translation


@dataclass(frozen=True, slots=True)
class Repair:
    """How the second attempt differs from the first; the defaults change nothing.

    `repetition_penalty` is the least that it may be, `length_factor` multiplies `max_new_tokens`, and
    `other_prompt` asks in the words of `review.repair_instruction`.
    """

    repetition_penalty: float = 0.0
    length_factor: float = 1.0
    other_prompt: bool = False

    def decoding(self, max_new_tokens: int, repetition_penalty: float) -> dict[str, Any]:
        """The fields of the first request that the second one has otherwise."""
        return {
            "max_new_tokens": round(max_new_tokens * self.length_factor),
            "repetition_penalty": max(repetition_penalty, self.repetition_penalty),
        }

    def instruction(self, settings: ReviewSettings, instruction: str) -> str | None:
        """What the model is asked the second time, given what it was asked first; None where that stays."""
        if not self.other_prompt:
            return None
        return settings.repair_instruction.replace("{language}", ASKED_FOR).replace("{instruction}", instruction)


def repair_for(flags: Iterable[str], finish_reason: str, settings: ReviewSettings) -> Repair | None:
    """What to try for a caption with these flags; None where nothing would help, or `review.repair` is off.

    Repetition asks for a penalty and nothing else. A caption cut off by the token limit gets a longer one.
    Whatever else fails it is asked for in other words. Flags that `review.tolerate` lists ask for nothing.
    """
    failing = set(flags) - set(settings.tolerate) - {"near_duplicate", "stock_opening"}
    if not settings.repair or not failing:
        return None
    if "repetition" in failing:
        return Repair(repetition_penalty=settings.repair_penalty)
    cut_off = "truncated" in failing and finish_reason == "length" and "too_long" not in failing
    reworded = bool(failing - {"truncated"}) or not cut_off
    return Repair(length_factor=settings.repair_length if cut_off else 1.0, other_prompt=reworded)
