"""The bulk engine: continuous batching on a transformers model. A finished text's place goes to the next prompt."""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import suppress
from itertools import islice

import torch
from transformers import PreTrainedModel

from recap.engines.base import Completion, Request, check_request
from recap.engines.memory import is_out_of_memory, prefill_positions, rows_that_fit
from recap.engines.norms import fuse_norms
from recap.engines.slots import Slots, bound_step, round_up, row_multiple
from recap.timing import Timing

log = logging.getLogger(__name__)


class TransformersEngine:
    """Serves a causal language model of the Llama family, `batch_size` requests at most at a time.

    A step is one prefill where a slot is free and a prompt waits, else one token of every text in a slot. Where
    memory runs out there are half as many slots from then on, and what was being written starts again. Slots
    are made `headroom` positions longer than the first prompts need, for requests that are to come. The machine's
    own memory is shared by so many `copies` of the model. Where a card waits for its work to be launched, and
    holds all of the model, steps become `cuda_graphs`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        end_token_ids: Collection[int],
        batch_size: int = 16,
        headroom: int = 0,
        copies: int = 1,
        cuda_graphs: bool = True,
        timing: Timing | None = None,
    ):
        assert end_token_ids and batch_size >= 1
        self._model = model.eval()
        fuse_norms(self._model)
        self._ends = frozenset(end_token_ids)
        self._batch_size, self._headroom, self._copies = batch_size, headroom, copies
        self._cuda_graphs = cuda_graphs
        self._timing = timing or Timing("caption")
        self._waiting: dict[str, Request] = {}
        self._slots: Slots | None = None
        self._prefill_positions = 0
        self._closed = False

    @property
    def pending(self) -> int:
        return len(self._waiting) + len(self._written())

    @property
    def slots(self) -> int:
        """Texts that are written together at most: `batch_size`, or what memory has room for."""
        return self._slots.count if self._slots else self._batch_size

    @property
    def graphs(self) -> int:
        """Shapes of decode steps that are replayed as CUDA graphs."""
        return self._slots.graphs if self._slots else 0

    def submit(self, request: Request) -> None:
        assert not self._closed, "a closed engine got a request"
        assert request.request_id not in self._waiting, request.request_id
        assert all(written.request_id != request.request_id for written in self._written()), request.request_id
        sizes = self._model.get_input_embeddings().weight.shape
        check_request(request, *sizes, self._model.config.max_position_embeddings)
        self._waiting[request.request_id] = request

    @torch.inference_mode()
    def step(self) -> list[Completion]:
        if not self.pending:
            return []
        try:
            return self._advance()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error)
        self.halve(reason)  # out here the traceback is gone, and with it the activations that it held
        return []

    def halve(self, reason: str) -> None:
        count = self.slots
        if count == 1:
            raise MemoryError(
                f"one clip alone does not fit into memory: lower engine.max_new_tokens or model.pooling, or spread "
                f"the model with model.device_map ({reason})"
            )
        self._batch_size = count // 2
        log.warning("out of memory with %d clips at a time; going on with %d (%s)", count, self._batch_size, reason)
        self._waiting = {request.request_id: request for request in self._written()} | self._waiting
        self._slots = None
        if torch.cuda.is_available():
            with suppress(RuntimeError):  # torch 2.11 may refuse after a recording that failed
                torch.cuda.empty_cache()

    def close(self) -> None:
        self._closed = True
        self._waiting.clear()
        self._slots = None

    def _written(self) -> list[Request]:
        return self._slots.requests if self._slots else []

    def _advance(self) -> list[Completion]:
        if not self._written():
            self._make_room()
        if batch := self._next_prompts():
            with self._timing.phase("prefill"):
                self._slots.prefill(batch)
            for request in batch:
                del self._waiting[request.request_id]
            return []
        self._timing.counts["steps"] += 1
        self._timing.counts["texts_stepped"] += len(self._written())
        with self._timing.phase("decode_steps"):
            return self._slots.decode()

    def _make_room(self) -> None:
        """Slots that hold whatever waits, once those there are have run empty."""
        needed = max(each.positions for each in self._waiting.values())
        if self._slots is None or needed > self._slots.capacity:
            self._slots = None
            capacity = round_up(needed + self._headroom, bound_step(self._model))
            multiple = row_multiple(self._model)
            rows = rows_that_fit(self._model, capacity, round_up(self._batch_size, multiple), self._copies)
            rows -= rows % multiple if rows > multiple else 0
            count = min(rows, self._batch_size)
            self._prefill_positions = prefill_positions(self._model)
            self._slots = Slots(self._model, self._ends, count, rows, capacity, cuda_graphs=self._cuda_graphs)

    def _next_prompts(self) -> list[Request]:
        """The oldest that waits and others of its length; nothing while it waits for larger slots."""
        oldest = next(iter(self._waiting.values()), None)
        if oldest is None or not self._slots.free or not self._fits(oldest):
            return []
        alike = (each for each in self._waiting.values() if each.length == oldest.length and self._fits(each))
        together = self._prefill_positions // oldest.length
        return list(islice(alike, max(1, min(self._slots.free, together))))

    def _fits(self, request: Request) -> bool:
        return request.positions <= self._slots.capacity
