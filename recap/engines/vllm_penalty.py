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
        self._texts: dict[int, tuple[float, list[int]]] = {}

    def is_argmax_invariant(self) -> bool:
        """It decides greedy texts too."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow the rows of the batch; the lists of tokens grow by themselves."""
        process_dict_updates(self._texts, batch_update, _penalised)

    def apply(self, logits: Tensor) -> Tensor:
        """Scores (rows, vocabulary), changed in place."""
        for row, (penalty, written) in self._texts.items():
            if written:
                seen = torch.tensor(sorted(set(written)), device=logits.device)
                logits[row, seen] = penalise(logits[row, seen], torch.ones_like(seen, dtype=torch.bool), penalty)
        return logits


def _penalised(parameters: SamplingParams, _: list[int] | None, written: list[int]) -> tuple[float, list[int]] | None:
    penalty = (parameters.extra_args or {}).get("written_penalty", 1.0)
    return None if penalty == 1 else (penalty, written)
