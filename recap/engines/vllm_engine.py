"""vLLM as the engine: a plain Llama folder, served through prompt embeddings. vLLM is imported when it is opened."""

from __future__ import annotations

import gc
import math
import os
import tempfile
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig

from recap.engines.base import Completion, Request, check_request
from recap.engines.memory import CPU_SHARE, position_bytes, usable_bytes
from recap.engines.merged import alone, merged_language_model
from recap.engines.preflight import NO_FLOAT32, VLLM_SHARE
from recap.engines.settings import EngineSettings, ModelSettings
from recap.engines.slots import round_up
from recap.pllava import Pllava, checkpoint_bytes
from recap.timing import Timing

PENALTY = "recap.engines.vllm_penalty:WrittenPenalty"
CPU_BLOCK = 128  # positions that vLLM's cache on a CPU is cut into
EIGHT_BITS = {"fp8": "fp8_per_tensor"}  # by the setting: vLLM's own words
ENVIRONMENT = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else every actor binds itself to the same cores
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # which refuses logits processors such as ours
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork after the vision tower has used CUDA would fail
}


class VllmEngine:
    """Serves what an opened vLLM `LLMEngine` holds; vLLM decides which requests a step advances.

    Seeds and temperatures are vLLM's own: draws are not those of the transformers engine.
    """

    def __init__(self, llm: Any, *, end_token_ids: Collection[int], timing: Timing | None = None):
        self._llm, self._ends = llm, sorted(end_token_ids)
        self._timing = timing or Timing("caption")
        self._pending: set[str] = set()
        self._closed = False

    @property
    def pending(self) -> int:
        return len(self._pending)

    @property
    def slots(self) -> int:
        return self._llm.vllm_config.scheduler_config.max_num_seqs

    def halve(self, reason: str) -> None:
        raise MemoryError(
            f"vLLM keeps the share of memory that it took at its start, and the rest is too small: {reason}"
        )

    def submit(self, request: Request) -> None:
        assert not self._closed, "a closed engine got a request"
        assert request.request_id not in self._pending, request.request_id
        self._check(request)
        self._llm.add_request(request.request_id, self._prompt(request), self._sampling(request))
        self._pending.add(request.request_id)

    def step(self) -> list[Completion]:
        if not self._pending:
            return []
        self._timing.counts["steps"] += 1
        self._timing.counts["texts_stepped"] += min(self.pending, self.slots)
        with self._timing.phase("decode_steps"):
            outputs = self._llm.step()
        completions = [self._completion(output) for output in outputs if output.finished]
        self._pending -= {completion.request_id for completion in completions}
        return completions

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._llm.abort_request(list(self._pending))
        self._pending.clear()
        self._llm.engine_core.shutdown()
        self._llm = None
        gc.collect()  # vLLM's parts refer to one another, and hold the weights
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _check(self, request: Request) -> None:
        """`ValueError` for what vLLM would not refuse, or die of."""
        config = self._llm.model_config
        check_request(request, config.get_vocab_size(), config.get_hidden_size(), config.max_model_len)

    def _prompt(self, request: Request) -> dict[str, Any]:
        if request.token_ids is not None:
            return {"prompt_token_ids": list(request.token_ids)}
        return {"prompt_embeds": request.embeddings.detach().to("cpu", self._llm.model_config.dtype)}

    def _sampling(self, request: Request) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            max_tokens=request.max_new_tokens,
            temperature=request.temperature,
            seed=request.seed if request.temperature else None,
            stop_token_ids=self._ends,
            ignore_eos=True,  # ours stand above
            extra_args={"written_penalty": request.repetition_penalty},
            logprobs=0,  # the written token's, which tells where scores are no numbers
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _completion(self, output: Any) -> Completion:
        written = output.outputs[0]
        tokens = tuple(written.token_ids)
        if math.isnan(written.cumulative_logprob):
            return Completion(output.request_id, (), "not_finite")
        if tokens and tokens[-1] in self._ends:
            return Completion(output.request_id, tokens[:-1], "stop")
        return Completion(output.request_id, tokens, "length")


def vllm_opener(
    pllava: Pllava, model: ModelSettings, engine: EngineSettings, timing: Timing, copies: int = 1
) -> Callable[[], VllmEngine]:
    """What opens the language model of a fetched `model`, whose other parts `pllava` holds.

    Merges and stores it first where that has not been done. Raises `ValueError` for what vLLM cannot quantize or split.
    """
    if engine.quantization and pllava.dtype == torch.float32:
        raise ValueError(NO_FLOAT32)
    heads, cards = pllava.config.text.num_attention_heads, max(1, engine.gpus_per_actor)
    if heads % cards:
        raise ValueError(
            f"engine.gpus_per_actor {cards:g}: vLLM cannot divide the model's {heads} heads by that number"
        )
    folder = merged_language_model(model, pllava.dtype, engine.merged_path)

    def open_engine() -> VllmEngine:
        llm = open_llm(folder, engine, pllava.config.text, pllava.dtype, copies)
        return VllmEngine(llm, end_token_ids=pllava.config.eos_token_ids, timing=timing)

    return open_engine


def open_llm(
    folder: Path, engine: EngineSettings, config: LlamaConfig, dtype: torch.dtype, copies: int = 1, **arguments
) -> Any:
    """vLLM's synchronous engine for the Llama in `folder`, in this process.

    Only where a model is spread over several cards are there worker processes, which end with this one. So many
    `copies` share the machine's own memory. `arguments` go to vLLM's `EngineArgs`.
    """
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from vllm import EngineArgs, LLMEngine

    cards = int(max(1, engine.gpus_per_actor))
    room = _gpu_room(engine) if engine.gpus_per_actor else _cpu_room(engine, config, dtype, folder, copies)
    common = {
        "model": str(folder),
        "skip_tokenizer_init": True,
        "enable_prompt_embeds": True,
        "dtype": dtype,
        "quantization": EIGHT_BITS.get(engine.quantization),
        "max_model_len": config.max_position_embeddings,
        "max_num_seqs": engine.slots,
        "tensor_parallel_size": cards,
        "distributed_executor_backend": "mp" if cards > 1 else "uni",
        "enable_prefix_caching": False,
        "async_scheduling": False,  # the penalty wants every token that has been written
        "logits_processors": [PENALTY],
        "generation_config": "vllm",
        "use_tqdm_on_load": False,
        "disable_log_stats": True,
    }
    with _card_alone(engine):
        return LLMEngine.from_engine_args(EngineArgs(**common | room | arguments))


def _card_alone(engine: EngineSettings) -> AbstractContextManager[None]:
    """Held by one copy at a time where several share a card: vLLM takes what leaves the card meanwhile for its own."""
    if not 0 < engine.gpus_per_actor < 1:
        return nullcontext()
    card = os.environ.get("CUDA_VISIBLE_DEVICES", "").replace(os.sep, "-")
    return alone(Path(tempfile.gettempdir()) / f"recap-vllm-{os.getuid()}-{card}.lock")


def _gpu_room(engine: EngineSettings) -> dict[str, Any]:
    share = VLLM_SHARE * min(1, engine.gpus_per_actor)
    return {"gpu_memory_utilization": share, "enforce_eager": not engine.cuda_graphs}


def _cpu_room(
    engine: EngineSettings, config: LlamaConfig, dtype: torch.dtype, folder: Path, copies: int
) -> dict[str, Any]:
    """A cache for `batch_size` texts of any length where memory holds it beside the weights in `folder`.

    They are yet to be loaded. Compiling would take minutes.
    """
    block = CPU_BLOCK * position_bytes(config, dtype)
    text = round_up(config.max_position_embeddings, CPU_BLOCK) // CPU_BLOCK * block
    room = usable_bytes(torch.device("cpu"), copies) - CPU_SHARE * checkpoint_bytes(folder)
    texts = max(1, int(min(engine.slots, room / text)))
    return {"enforce_eager": True, "kv_cache_memory_bytes": texts * text + block}  # one block is never used
