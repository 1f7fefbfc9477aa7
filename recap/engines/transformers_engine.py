"""The simple engine: batches of waiting requests, each through transformers' `generate`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch.nn.functional import pad

from recap.engines.base import Completion, Request
from recap.engines.decoding import RowDecoding


class TransformersEngine:
    """Serves a causal language model that takes `inputs_embeds`.

    A step takes the oldest request and those whose prompts are closest in length, `batch_size` in
    all, pads them on the left (usually not at all) and generates until the last of them ends.
    """

    def __init__(self, model, *, end_token_ids: Collection[int], pad_token_id: int | None = None, batch_size: int = 4):
        assert end_token_ids and batch_size >= 1
        self._model = model.eval()
        self._ends = frozenset(end_token_ids)
        self._pad = min(self._ends) if pad_token_id is None else pad_token_id
        self._batch_size = batch_size
        self._waiting: list[Request] = []
        self._closed = False

    @property
    def pending(self) -> int:
        return len(self._waiting)

    def submit(self, request: Request) -> None:
        assert not self._closed, "a closed engine got a request"
        assert request.request_id not in {waiting.request_id for waiting in self._waiting}, request.request_id
        self._check_shape(request)
        self._waiting.append(request)

    def step(self) -> list[Completion]:
        if not self._waiting:
            return []
        batch = self._next_batch()
        rows = self._generate(batch).tolist()
        chosen = {request.request_id for request in batch}
        self._waiting = [request for request in self._waiting if request.request_id not in chosen]
        return [self._completion(request, row) for request, row in zip(batch, rows, strict=True)]

    def close(self) -> None:
        self._closed = True
        self._waiting.clear()

    def _check_shape(self, request: Request) -> None:
        vocabulary, hidden = self._model.get_input_embeddings().weight.shape
        where, ids = f"request {request.request_id!r}", request.token_ids
        if ids is None:
            shape = tuple(request.embeddings.shape)
            if shape[1:] != (hidden,):
                raise ValueError(f"{where}: embeddings of shape {shape}; the model takes (length, {hidden})")
        elif not 0 <= min(ids) <= max(ids) < vocabulary:
            raise ValueError(f"{where}: token ids must lie in 0 … {vocabulary - 1}, the model's vocabulary")

    def _next_batch(self) -> list[Request]:
        oldest = self._waiting[0].length
        closest_first = sorted(self._waiting, key=lambda request: abs(request.length - oldest))
        return closest_first[: self._batch_size]

    @torch.inference_mode()
    def _generate(self, batch: Sequence[Request]) -> torch.Tensor:
        embeddings, mask = _pad_left([self._embed(request) for request in batch])
        plain = all(request.repetition_penalty == 1 and request.temperature == 0 for request in batch)
        return self._model.generate(
            inputs_embeds=embeddings,
            attention_mask=mask,
            max_new_tokens=max(request.max_new_tokens for request in batch),
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            eos_token_id=sorted(self._ends),
            pad_token_id=self._pad,
            logits_processor=[] if plain else [RowDecoding(batch)],
        )

    def _embed(self, request: Request) -> torch.Tensor:
        table = self._model.get_input_embeddings()
        if request.embeddings is None:
            return table(torch.tensor(request.token_ids, device=table.weight.device))
        return request.embeddings.to(table.weight)

    def _completion(self, request: Request, row: Sequence[int]) -> Completion:
        allowed = row[: request.max_new_tokens]
        end = next((place for place, token in enumerate(allowed) if token in self._ends), None)
        reason = "length" if end is None else "stop"
        return Completion(request.request_id, tuple(allowed[:end]), reason)


def _pad_left(prompts: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts `(length, hidden)` as one `(rows, longest, hidden)` and its mask `(rows, longest)`."""
    longest = max(len(prompt) for prompt in prompts)
    embeddings = torch.stack([pad(prompt, (0, 0, longest - len(prompt), 0)) for prompt in prompts])
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=embeddings.device)
    return embeddings, (torch.arange(longest, device=embeddings.device) >= longest - lengths[:, None]).long()
