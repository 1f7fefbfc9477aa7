"""An engine with no model: readable captions that depend on the prompt alone, for rehearsing a whole run."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from recap.engines.base import Completion, Request
from recap.timing import Timing

_ADJECTIVES = (
    "red",
    "blue",
    "green",
    "small",
    "large",
    "bright",
    "dark",
    "quiet",
    "wooden",
    "striped",
    "pale",
)
_MOVING = ("bird", "car", "child", "dog", "boat", "horse", "bicycle", "kite", "train", "cat", "bus")
_STANDING = (
    "river",
    "tree",
    "lamp",
    "street",
    "table",
    "window",
    "field",
    "bridge",
    "ladder",
    "garden",
    "gate",
)
_VERBS = ("crosses", "follows", "leaves", "nears", "passes", "circles", "faces", "hides")
_MANNERS = ("slowly", "quickly", "suddenly", "gently", "steadily", "twice", "again")
_WORDS = (".", "the", *_ADJECTIVES, *_MOVING, *_STANDING, *_VERBS, *_MANNERS)
_ID_OF = {word: place for place, word in enumerate(_WORDS)}


def decode(token_ids: Iterable[int]) -> str:
    """The text of a rehearsal completion."""
    sentences = " ".join(_WORDS[token] for token in token_ids).split(".")
    return ". ".join(sentence.strip().capitalize() for sentence in sentences).strip()


@dataclass
class _Active:
    request: Request
    text: tuple[int, ...] = field(init=False)
    written: int = 0

    def __post_init__(self):
        self.text = _text(self.request)

    @property
    def finished(self) -> bool:
        return self.written >= min(len(self.text), self.request.max_new_tokens)

    def completion(self) -> Completion:
        # The end token, which is never handed out, takes one of the new tokens as it does elsewhere.
        reason = "stop" if len(self.text) < self.request.max_new_tokens else "length"
        return Completion(self.request.request_id, self.text[: self.request.max_new_tokens], reason)


class RehearsalEngine:
    """Writes `tokens_per_step` tokens a step for each of `batch_size` requests at once.

    What it writes is a function of the prompt and the decoding parameters. Embeddings may be
    anything that numpy can read. `latency_s` is slept in every step that has work.
    """

    def __init__(
        self,
        *,
        batch_size: int = 4,
        tokens_per_step: int = 8,
        latency_s: float = 0.0,
        timing: Timing | None = None,
    ):
        assert batch_size >= 1 and tokens_per_step >= 1 and latency_s >= 0
        self._batch_size, self._tokens_per_step, self._latency_s = batch_size, tokens_per_step, latency_s
        self._timing = timing or Timing("caption")
        self._requests: dict[str, _Active] = {}
        self._closed = False

    @property
    def pending(self) -> int:
        return len(self._requests)

    @property
    def slots(self) -> int:
        return self._batch_size

    def halve(self, reason: str) -> None:
        raise MemoryError(reason)

    def submit(self, request: Request) -> None:
        assert not self._closed, "a closed engine got a request"
        assert request.request_id not in self._requests, request.request_id
        self._requests[request.request_id] = _Active(request)

    def step(self) -> list[Completion]:
        with self._timing.phase("decode_steps"):
            return self._advance()

    def _advance(self) -> list[Completion]:
        served = list(self._requests.values())[: self._batch_size]
        if served and self._latency_s:
            time.sleep(self._latency_s)
        for active in served:
            active.written += self._tokens_per_step
        finished = [active.completion() for active in served if active.finished]
        for completion in finished:
            del self._requests[completion.request_id]
        return finished

    def close(self) -> None:
        self._closed = True
        self._requests.clear()


def _text(request: Request) -> tuple[int, ...]:
    """Two to six sentences; no thing is named twice, so that a caption never looks like a loop."""
    chance = random.Random(_digest(request))
    count = chance.randint(2, 6)
    pairs = zip(chance.sample(_MOVING, count), chance.sample(_STANDING, count), strict=True)
    return tuple(_ID_OF[word] for pair in pairs for word in _sentence(chance, *pair))


def _sentence(chance: random.Random, subject: str, thing: str) -> list[str]:
    manner = [chance.choice(_MANNERS)] if chance.random() < 0.5 else []
    before, after = chance.sample(_ADJECTIVES, 2)
    return ["the", before, subject, *manner, chance.choice(_VERBS), "the", after, thing, "."]


def _digest(request: Request) -> bytes:
    seed = request.seed if request.temperature else None
    decoding = (request.repetition_penalty, request.temperature, seed)
    if request.embeddings is None:
        kind, prompt = "tokens", np.asarray(request.token_ids, np.int64)
    else:
        kind, prompt = "embeddings", np.asarray(request.embeddings, np.float32)
    facts = repr((kind, prompt.shape, decoding)).encode()
    return blake2b(facts + prompt.tobytes(), digest_size=16).digest()
