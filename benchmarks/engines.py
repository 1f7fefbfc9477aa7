"""Static batches through `generate` against recap's engines: the same prompts, the same greedy texts.

vLLM takes part where it is installed (`make test-vllm` makes such an environment).

Prompts are embeddings of a few lengths, as those of a few instructions; texts end after different numbers of tokens.
The engines take turns, in turning order; `ratio` is the median of the rounds' ratios.

    python benchmarks/engines.py --json
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from static_batches import random_llama, write_in_batches
from transformers import LlamaConfig, LlamaForCausalLM

from recap.engines import EngineSettings, Request, complete
from recap.engines.packing import packed
from recap.engines.transformers_engine import TransformersEngine
from recap.engines.vllm_engine import VllmEngine, open_llm

NEVER = frozenset({-1})
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = random_llama(config_of(arguments), arguments.device, getattr(torch, arguments.dtype))
    requests = make_requests(arguments, model)
    own = packed(copy.deepcopy(model))
    ways = {
        "generate": lambda: write_in_batches(model, requests, arguments.batch_size),
        "recap": lambda: continuous(own, requests, arguments.batch_size),
    }
    if find_spec("vllm"):
        ways["vllm"] = through_vllm(model, requests, arguments.batch_size)
    seconds, texts = measure(ways, arguments.repeats, CLOCKS[arguments.clock])
    tokens = sum(request.max_new_tokens for request in requests)
    found = {
        "tokens_per_s": {name: round(tokens / median(took), 1) for name, took in seconds.items()},
        "seconds": {name: [round(each, 3) for each in took] for name, took in seconds.items()},
        "ratio": round(median_ratio(seconds["generate"], seconds["recap"]), 3),
        "equal_texts": sum(all(way[name] == text for way in texts.values()) for name, text in texts["recap"].items()),
    }
    if not arguments.json:
        for name, rate in found["tokens_per_s"].items():
            print(f"{name}: {rate} output tokens/s")
    print(json.dumps(vars(arguments) | found))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print nothing but one JSON object")
    parser.add_argument("--clips", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--prompts", type=int, nargs="+", default=[170, 250, 330], help="their lengths")
    parser.add_argument("--new-tokens", type=int, nargs=2, default=[15, 40], help="fewest and most")
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: core-seconds, for a shared machine")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    return parser.parse_args()


def config_of(arguments: argparse.Namespace) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=3000,
        hidden_size=arguments.hidden,
        intermediate_size=arguments.hidden * 8 // 3,
        num_hidden_layers=arguments.blocks,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=None,
    )


def make_requests(arguments: argparse.Namespace, model: LlamaForCausalLM) -> list[Request]:
    chance = random.Random(0)
    return [
        Request(
            f"clip{number}",
            chance.randint(*arguments.new_tokens),
            embeddings=torch.randn(chance.choice(arguments.prompts), arguments.hidden).to(model.device, model.dtype),
        )
        for number in range(arguments.clips)
    ]


def continuous(model: LlamaForCausalLM, requests: list[Request], batch_size: int) -> dict[str, tuple[int, ...]]:
    engine = TransformersEngine(model, end_token_ids=NEVER, batch_size=batch_size)
    return {done.request_id: done.token_ids for done in complete(engine, requests)}


def through_vllm(model: LlamaForCausalLM, requests: list[Request], batch_size: int) -> Callable[[], dict]:
    """What writes the texts with a vLLM that is opened once, as its start takes seconds."""
    settings = EngineSettings("vllm", batch_size=batch_size, gpus_per_actor=int(model.device.type == "cuda"))
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        engine = VllmEngine(open_llm(Path(folder), settings, model.config, model.dtype), end_token_ids=())
    return lambda: {done.request_id: done.token_ids for done in complete(engine, requests)}


def measure(ways: dict, repeats: int, clock: Callable[[], float]) -> tuple[dict[str, list[float]], dict[str, dict]]:
    """Seconds of every run and the texts of the last; one run of each before that is not counted."""
    seconds, texts = {name: [] for name in ways}, {}
    for turn in range(repeats + 1):
        for name in sorted(ways, reverse=turn % 2 == 1):
            start = clock()
            texts[name] = ways[name]()
            if turn:
                seconds[name].append(clock() - start)
    return seconds, texts


def median_ratio(base: list[float], own: list[float]) -> float:
    """Of two that took turns."""
    return median(before / after for before, after in zip(base, own, strict=True))


if __name__ == "__main__":
    main()
