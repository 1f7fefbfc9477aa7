"""What every engine speaks: a request in, steps, completions out as they finish. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from recap.engines.watchdog import UNWATCHED

PROMPTS_PER_SLOT = 2  # are made: the one being written and the next. At full size each takes 34 MB of a card.


@dataclass(frozen=True, eq=False)
class Request:
    """One text to write: a prompt as `embeddings` (length, hidden) or as `token_ids`, and how to decode it.

    `max_new_tokens` counts the end token too, as `generate` does. `repetition_penalty` looks at the
    text written so far, never at the prompt. A `temperature` of 0 takes the likeliest token; above
    it, `seed` alone decides the draw, whoever else is being served.
    """

    request_id: str
    max_new_tokens: int
    embeddings: Any = None
    token_ids: tuple[int, ...] | None = None
    repetition_penalty: float = 1.0
    temperature: float = 0.0
    seed: int = 0

    def __post_init__(self):
        where = f"request {self.request_id!r}"
        if (self.embeddings is None) == (self.token_ids is None):
            raise ValueError(f"{where}: give either embeddings or token_ids, not both and not neither")
        if self.length == 0:
            raise ValueError(f"{where}: the prompt is empty; there is nothing to continue")
        if self.max_new_tokens < 1:
            raise ValueError(f"{where}: max_new_tokens must be at least 1, not {self.max_new_tokens}")
        if not 0 < self.repetition_penalty < math.inf:
            raise ValueError(f"{where}: repetition_penalty must be above 0, not {self.repetition_penalty}")
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"{where}: temperature must be 0 or more, not {self.temperature}")

    @property
    def length(self) -> int:
        """Positions that the prompt takes."""
        return len(self.token_ids if self.embeddings is None else self.embeddings)

    @property
    def positions(self) -> int:
        """Those that prompt and text take together, at most."""
        return self.length + self.max_new_tokens


@dataclass(frozen=True)
class Completion:
    """The new tokens of one request, without the end token, and why they end where they do.

    `not_finite`: the next one's scores are no numbers, as where a type of 16 bits overflows.
    """

    request_id: str
    token_ids: tuple[int, ...]
    finish_reason: Literal["stop", "length", "not_finite"]


class EngineLost(RuntimeError):
    """An engine worked, died, and none works in its process any more: what a GPU does after some errors."""


class EngineStalled(EngineLost):
    """An engine that has not moved for too long. It cannot be stopped from within its process."""


class Engine(Protocol):
    """Serves requests in any order. One thread at a time; a submitted id may return once it has completed."""

    def submit(self, request: Request) -> None:
        """Queue it. Raises `ValueError` for a request that this engine cannot serve; the others go on."""

    def step(self) -> list[Completion]:
        """Advance, by a token of each text in work or by prompts that it takes in, and hand out what finished.

        An exception is the engine's end.
        """

    @property
    def pending(self) -> int:
        """Requests submitted and not yet completed."""

    @property
    def slots(self) -> int:
        """Requests that it works on at a time, at most; the others wait."""

    def halve(self, reason: str) -> None:
        """Leave memory to others, who are short of it: work on half as many requests from here on.

        What is being written may start again. Raises `MemoryError` where nothing is left to give.
        """

    def close(self) -> None:
        """Forget what is pending and refuse more."""


def check_request(request: Request, vocabulary: int, hidden: int, positions: int) -> None:
    """Raise `ValueError` for what a model of these sizes, with a context of so many positions, cannot take."""
    where, ids = f"request {request.request_id!r}", request.token_ids
    if ids is None:
        shape = tuple(request.embeddings.shape)
        if shape[1:] != (hidden,):
            raise ValueError(f"{where}: embeddings of shape {shape}; the model takes (length, {hidden})")
    elif not 0 <= min(ids) <= max(ids) < vocabulary:
        raise ValueError(f"{where}: token ids must lie in 0 … {vocabulary - 1}, the model's vocabulary")
    if request.positions > positions:
        raise ValueError(
            f"{where}: a prompt of {request.length} positions and {request.max_new_tokens} new tokens exceed the "
            f"model's {positions}: lower engine.max_new_tokens or model.pooling"
        )


def complete(
    engine: Engine, requests: Iterable[Request], watch: AbstractContextManager = UNWATCHED
) -> Iterator[Completion]:
    """Serve `requests` to their end; completions come as they finish, not in the order given.

    Each step is taken within `watch`.
    """
    for request in requests:
        engine.submit(request)
    while engine.pending:
        with watch:
            completions = engine.step()
        yield from completions
