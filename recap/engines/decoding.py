"""How the next token is chosen, row by row, so that no row's choice depends on its neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from recap.engines.base import Request


def penalise(scores: torch.Tensor, generated: torch.Tensor, penalty: float) -> torch.Tensor:
    """Scores `(vocabulary,)` with every token of `generated` made less likely (CTRL, arXiv 1909.05858)."""
    seen = scores[generated]
    return scores.scatter(0, generated, torch.where(seen < 0, seen * penalty, seen / penalty))


def perturb(scores: torch.Tensor, temperature: float, generator: torch.Generator) -> torch.Tensor:
    """Scores `(vocabulary,)` whose largest is a draw from softmax(scores / temperature), by Gumbel noise.

    The noise comes from the CPU in float64, so a seed means the same on every device.
    """
    uniform = torch.rand(scores.shape, generator=generator, dtype=torch.float64)
    noise = -torch.log(-torch.log(uniform.clamp_min(torch.finfo(torch.float64).tiny)))
    return scores / temperature + noise.to(scores)


class RowDecoding:
    """A logits processor for greedy `generate`: penalty, temperature and seed are each row's own.

    transformers' own penalty cannot serve here: with `inputs_embeds` and left padding it skips as
    many *generated* tokens as the row has pads, so a row's text would depend on its neighbours.
    """

    def __init__(self, requests: Sequence[Request]):
        self._requests = requests
        self._generators = [torch.Generator().manual_seed(request.seed) for request in requests]

    def __call__(self, generated: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        rows = zip(scores, generated, self._requests, self._generators, strict=True)
        return torch.stack([_row_scores(*row) for row in rows])


def _row_scores(
    scores: torch.Tensor, generated: torch.Tensor, request: Request, generator: torch.Generator
) -> torch.Tensor:
    if request.repetition_penalty != 1:
        scores = penalise(scores, generated, request.repetition_penalty)
    if request.temperature > 0:
        scores = perturb(scores, request.temperature, generator)
    return scores
