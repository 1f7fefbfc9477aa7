"""The texts being written together: prompts go in, every step writes a token of each, finished ones leave.

Texts stand in the first rows of the cache, without gaps: where one leaves, the last one takes its row, so that
a step reads one dense block and the next prompts go behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from recap.engines.base import Completion, Request
from recap.engines.cuda_graphs import CudaGraphs
from recap.engines.decode_step import decode_step, heads_together
from recap.engines.decoding import Decoding, Text
from recap.engines.kv_cache import Decode, Prefill, SlotCache
from recap.engines.memory import home, on_current_card

CPU_ROWS_PER_THREAD = 4  # a matrix product over fewer rows takes another routine, whose last bits differ
BOUND_STEP = 64  # positions; few different shapes
CPU_BLOCK, CPU_FEW_HEADS = 512, 3  # positions that attention takes at a time; with more heads fewer are another routine
CUDA_ROWS = 8  # few different shapes, here too


class Slots:
    """`count` slots of `capacity` positions, in a cache of `rows`, for a model of the Llama family.

    On a CPU a step computes some rows and positions for nothing where that makes every row's routine the same
    (`row_multiple`, `bound_step`): then not even the last bit of a text's scores depends on its neighbours. On a GPU it
    does so for the sake of `cuda_graphs`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        ends: frozenset[int],
        count: int,
        rows: int,
        capacity: int,
        *,
        cuda_graphs: bool = False,
    ):
        assert count <= rows
        self.count, self.capacity = count, capacity
        self._model, self._ends = model, ends
        self._texts: list[Text] = []
        self._decoding: Decoding | None = None
        self._graphs = CudaGraphs() if cuda_graphs and on_current_card(model) else None
        device, heads = home(model), model.config.num_key_value_heads
        self._bound_step = bound_step(model)
        self._multiple = min(rows, row_multiple(model) if self._graphs is None else CUDA_ROWS)
        self._cache = SlotCache(model.config.num_hidden_layers, rows, capacity)
        self._inputs = torch.zeros(rows, model.config.hidden_size, dtype=model.dtype, device=device)
        self._lengths = torch.zeros(rows, dtype=torch.long, device=device)
        self._positions = torch.arange(capacity, device=device)
        self._starts = torch.arange(rows * heads, device=device).view(rows, heads) * capacity
        self._hidden = torch.tensor(-torch.inf, dtype=model.dtype, device=device)

    @property
    def requests(self) -> list[Request]:
        """What is being written."""
        return [text.request for text in self._texts]

    @property
    def graphs(self) -> int:
        """Shapes of steps that are replayed as CUDA graphs."""
        return 0 if self._graphs is None else len(self._graphs)

    @property
    def free(self) -> int:
        """Slots that nothing is written in."""
        return self.count - len(self._texts)

    def prefill(self, requests: Sequence[Request]) -> None:
        """Take in prompts of one length, no more than `free`: all but the last position, where decoding begins."""
        first, known = len(self._texts), requests[0].length - 1
        prompts = torch.stack([embed(self._model, request) for request in requests])
        if known:
            self._cache.begin(Prefill(first))
            where = {"position_ids": self._positions[None, :known], "past_key_values": self._cache}
            self._model.model(inputs_embeds=prompts[:, :-1], use_cache=True, **where)
        else:
            self._cache.wipe(first, len(requests))
        rows = slice(first, first + len(requests))
        self._inputs[rows], self._lengths[rows] = prompts[:, -1], known
        self._texts += [Text(request) for request in requests]
        self._decoding = None
        if self._inputs.is_cuda:
            torch.cuda.synchronize(self._inputs.device)  # else its time would be booked as the next decode step's

    def decode(self) -> list[Completion]:
        """Write one token of every text; those that it finishes leave."""
        live, longest = len(self._texts), max(text.positions for text in self._texts)
        rows = min(round_up(live, self._multiple), len(self._lengths))
        shape = rows, min(self.capacity, round_up(longest + 1, self._bound_step))
        step = partial(self._step, *shape)
        scores = (self._graphs.run(shape, step) if self._graphs is not None else step())[:live]
        if self._decoding is None:
            self._decoding = Decoding(self._texts, scores.shape[-1], scores.device)
        tokens = self._decoding.choose(scores.float())
        self._inputs[:live] = self._model.get_input_embeddings()(tokens.clamp(min=0))
        self._lengths[:live] += 1
        return self._write(tokens.tolist())

    def _step(self, rows: int, bound: int) -> Tensor:
        """Scores (rows, vocabulary) of the next tokens. Everything that it reads and writes stays where it is."""
        lengths = self._lengths[:rows]
        mask = torch.where(self._positions[:bound] <= lengths[:, None], 0, self._hidden)
        self._cache.begin(Decode((self._starts[:rows] + lengths[:, None]).flatten(), rows, bound))
        return decode_step(self._model, self._inputs[:rows], lengths, mask, self._cache)

    def _write(self, tokens: list[int]) -> list[Completion]:
        for text, token in zip(self._texts, tokens, strict=True):
            text.tokens.append(token)
        finished = [(row, text.completion(self._ends)) for row, text in enumerate(self._texts)]
        finished = [(row, completion) for row, completion in finished if completion]
        for row, _ in reversed(finished):
            self._remove(row)
        return [completion for _, completion in finished]

    def _remove(self, row: int) -> None:
        self._decoding = None
        last = self._texts.pop()
        if row == len(self._texts):
            return
        self._texts[row] = last
        self._cache.move(len(self._texts), row)
        for state in (self._inputs, self._lengths):
            state[row] = state[len(self._texts)]


def row_multiple(model: PreTrainedModel) -> int:
    """Of how many rows every step should have a multiple."""
    return CPU_ROWS_PER_THREAD * torch.get_num_threads() if home(model).type == "cpu" else 1


def bound_step(model: PreTrainedModel) -> int:
    """Of how many positions every step should have a multiple."""
    config, device = model.config, home(model)
    heads = heads_together(config.num_attention_heads // config.num_key_value_heads, device)
    return CPU_BLOCK if device.type == "cpu" and heads > CPU_FEW_HEADS else BOUND_STEP


def round_up(number: int, multiple: int) -> int:
    """The least multiple that is not below `number`."""
    return -(-number // multiple) * multiple


def embed(model: PreTrainedModel, request: Request) -> Tensor:
    """The request's prompt (length, hidden), where the model computes and in its type."""
    device = home(model)
    if request.embeddings is None:
        return model.get_input_embeddings()(torch.tensor(request.token_ids, device=device))
    return request.embeddings.to(device, model.dtype)
