"""The repetition penalty as a vLLM logits processor. Only vLLM imports this, by name and in its workers too.

vLLM's own penalty counts the prompt's tokens as written; for a prompt of embeddings those are ids that an earlier
request left in its table.
"""

from __future__ import annotations

import torch
from torch import Tensor
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, process_dict_updates

from recap.engines.decoding import penalise


class WrittenPenalty(LogitsProcessor):
    """Makes every token that a text already holds less likely, by `written_penalty` of the `extra_args`."""

    def __init__(self, *_):
        self._texts: dict[int, tuple[float, list[int]]] = {}  # by row
        self._seen: Tensor | None = None

    def is_argmax_invariant(self) -> bool:
        """It decides greedy texts too."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow the rows of the batch; the lists of tokens grow by themselves."""
        if process_dict_updates(self._texts, batch_update, _penalised):
            self._seen = None

    def apply(self, logits: Tensor) -> Tensor:
        """Scores (rows, vocabulary), changed in place, by as many operations however many rows there are."""
        if not self._texts:
            return logits
        rows = logits[: max(self._texts) + 1]
        if self._seen is None:
            self._begin(rows)
        self._mark()
        rows.copy_(penalise(rows, self._seen, self._penalties))
        return logits

    def _begin(self, rows: Tensor) -> None:
        penalties = [[self._texts[row][0] if row in self._texts else 1.0] for row in range(len(rows))]
        self._penalties = torch.tensor(penalties, dtype=rows.dtype, device=rows.device)
        self._seen = torch.zeros_like(rows, dtype=torch.bool)
        self._marked = dict.fromkeys(self._texts, 0)

    def _mark(self) -> None:
        """What was written since."""
        fresh = [(row, token) for row, (_, text) in self._texts.items() for token in text[self._marked[row] :]]
        self._marked = {row: len(text) for row, (_, text) in self._texts.items()}
        if fresh:
            places = torch.tensor(fresh).T.to(self._seen.device)
            self._seen.index_put_(tuple(places), torch.ones_like(places[0], dtype=torch.bool))


def _penalised(parameters: SamplingParams, _: list[int] | None, written: list[int]) -> tuple[float, list[int]] | None:
    penalty = (parameters.extra_args or {}).get("written_penalty", 1.0)
    return None if penalty == 1 else (penalty, written)
