"""How the next token is chosen: each row by its own penalty, temperature and seed, all rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor

from recap.engines.base import Completion, Request

NO_TOKEN = -1


class Text:
    """What has been written of one request so far."""

    def __init__(self, request: Request):
        self.request = request
        self.tokens: list[int] = []
        self.chance = Random(request.seed)

    @property
    def positions(self) -> int:
        """Positions that are in the cache: all but the last one's, which is the next step's input."""
        return self.request.length + len(self.tokens) - 1

    def completion(self, ends: frozenset[int]) -> Completion | None:
        """The finished text, None while it goes on."""
        if self.tokens[-1] == NO_TOKEN:
            return Completion(self.request.request_id, tuple(self.tokens[:-1]), "not_finite")
        if self.tokens[-1] in ends:
            return Completion(self.request.request_id, tuple(self.tokens[:-1]), "stop")
        if len(self.tokens) == self.request.max_new_tokens:
            return Completion(self.request.request_id, tuple(self.tokens), "length")
        return None


class Decoding:
    """The decoding parameters of some texts as tensors; made anew when other texts are written together."""

    def __init__(self, texts: Sequence[Text], vocabulary: int, device: torch.device):
        requests = [text.request for text in texts]
        self._seen = self._drawn = None
        if any(request.repetition_penalty != 1 for request in requests):
            self._seen = _seen(texts, vocabulary).to(device)
            self._penalties = torch.tensor([[request.repetition_penalty] for request in requests], device=device)
        if any(request.temperature for request in requests):
            drawn = [row for row, request in enumerate(requests) if request.temperature]
            self._drawn = torch.tensor(drawn, device=device)
            self._chances = [texts[row].chance for row in drawn]
            self._temperatures = torch.tensor([[requests[row].temperature] for row in drawn], device=device)

    def choose(self, scores: Tensor) -> Tensor:
        """The next token of each text (texts,), from scores (texts, vocabulary); NO_TOKEN where they are not finite."""
        if self._seen is not None:
            scores = penalise(scores, self._seen, self._penalties)
        tokens = scores.argmax(-1)
        if self._drawn is not None:
            uniform = torch.tensor([[chance.random()] for chance in self._chances], dtype=torch.float64)
            tokens[self._drawn] = draw(scores[self._drawn], self._temperatures, uniform.to(scores.device))
        if self._seen is not None:
            self._seen.scatter_(1, tokens[:, None], True)
        return torch.where(scores.sum(-1).isfinite(), tokens, NO_TOKEN)


def penalise(scores: Tensor, seen: Tensor, penalties: Tensor) -> Tensor:
    """Scores (texts, vocabulary) with every token that is `seen` made less likely (CTRL, arXiv 1909.05858)."""
    return torch.where(seen, torch.where(scores < 0, scores * penalties, scores / penalties), scores)


def draw(scores: Tensor, temperatures: Tensor, uniform: Tensor) -> Tensor:
    """A token (texts,) from softmax(scores / temperature), where `uniform` (texts, 1) falls in the running sum.

    In float64, so that the last bit of a score hardly ever moves a draw to the next token.
    """
    summed = torch.softmax(scores.double() / temperatures, -1).cumsum(-1)
    return torch.searchsorted(summed, uniform * summed[:, -1:], right=True)[:, 0].clamp(max=scores.shape[-1] - 1)


def _seen(texts: Sequence[Text], vocabulary: int) -> Tensor:
    seen = torch.zeros(len(texts), vocabulary, dtype=torch.bool)
    rows = [row for row, text in enumerate(texts) for _ in text.tokens]
    seen[rows, [token for text in texts for token in text.tokens]] = True
    return seen
