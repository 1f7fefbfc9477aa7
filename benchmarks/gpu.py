"""The engine on one large GPU: clips/s of a 34B-shaped model with random weights, and the machine's roofline.

Wants torch and transformers and no checkpoint. The ceilings are measured first: a large copy and a large matrix
product: the best of a few, and what a card that grows hot holds for seconds. Then our engine, `generate` on one clip at
a time, and `generate` on static batches, on the same prompts. At last whether texts are the same with all decode steps
as CUDA graphs and with none (`equal_without_graphs`), while rows come, go and move. What is known is said at once, on
stderr.

    PYTHONPATH=. python benchmarks/gpu.py --json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

import torch
from static_batches import random_llama, write_in_batches
from transformers import LlamaConfig, LlamaForCausalLM

from recap.engines import Request, complete
from recap.engines import cuda_graphs as graphs_module
from recap.engines.roofline import Ceilings, Shape, clip_seconds, clips_per_s
from recap.engines.transformers_engine import TransformersEngine
from recap.pllava.attention import do_without_cudnn_attention
from recap.timing import Timing

NEVER = frozenset({-1})


def main() -> None:
    arguments = parse()
    do_without_cudnn_attention()
    dtype = getattr(torch, arguments.dtype)
    machine, ceilings = measure_ceilings(arguments, dtype)
    model = random_llama(config_of(arguments), arguments.device, dtype)
    found = vars(arguments) | ceilings | measure(arguments, model)
    found |= compare(found, shape_of(arguments, dtype), machine, arguments)
    say(f"{found['roofline_share']:.0%} of the roofline, {found['ratio_to_one_by_one']:.2f} times one by one")
    say(json.dumps(found))
    print(json.dumps(found | {"equal_without_graphs": equal_without_graphs(arguments, model)}))


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="as with other benchmarks; stdout is one JSON object anyway"
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--cuda-graphs", action=argparse.BooleanOptionalAction, default=True)
    for name, value in {
        "blocks": 60,
        "hidden": 7168,
        "heads": 56,
        "kv-heads": 8,
        "intermediate": 20480,
        "vocabulary": 64064,
        "prompt": 2560,
        "new-tokens": 256,
        "clips": 128,
        "batch-size": 64,
        "static-batch": 16,
        "single-clips": 2,
        "matrix-side": 8192,
        "copy-mb": 4096,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--held-s", type=float, default=2.0)
    return parser.parse_args()


def config_of(arguments: argparse.Namespace) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=arguments.vocabulary,
        hidden_size=arguments.hidden,
        intermediate_size=arguments.intermediate,
        num_hidden_layers=arguments.blocks,
        num_attention_heads=arguments.heads,
        num_key_value_heads=arguments.kv_heads,
        max_position_embeddings=arguments.prompt + arguments.new_tokens,
        rope_parameters={"rope_type": "default", "rope_theta": 5e6},
        bos_token_id=None,
        eos_token_id=None,
    )


def shape_of(arguments: argparse.Namespace, dtype: torch.dtype) -> Shape:
    return Shape(
        arguments.blocks,
        arguments.hidden,
        arguments.heads,
        arguments.kv_heads,
        arguments.hidden // arguments.heads,
        arguments.intermediate,
        arguments.vocabulary,
        dtype.itemsize,
    )


def measure_ceilings(arguments: argparse.Namespace, dtype: torch.dtype) -> tuple[Ceilings, dict]:
    best, held = matrix_ceilings(arguments, dtype)
    machine = Ceilings(best, copy_ceiling(arguments))
    found = {
        "device": torch.cuda.get_device_name() if arguments.device.startswith("cuda") else "cpu",
        "matrix_tflop_per_s": round(best / 1e12, 7),
        "matrix_tflop_per_s_held": round(held / 1e12, 7),
        "copy_gb_per_s": round(machine.bytes_per_s / 1e9, 2),
    }
    say(json.dumps(found))
    return machine, found


def matrix_ceilings(arguments: argparse.Namespace, dtype: torch.dtype) -> tuple[float, float]:
    """FLOP/s of a large square product: of the best one, and held for `--held-s`."""
    side = arguments.matrix_side
    left, right = (torch.randn(side, side, device=arguments.device).to(dtype) for _ in range(2))
    best_s = best_seconds(lambda: left @ right, arguments.device)
    count = max(1, int(arguments.held_s / best_s))

    def work() -> None:
        for _ in range(count):
            left @ right

    return 2 * side**3 / best_s, 2 * side**3 * count / seconds(work, arguments.device)


def copy_ceiling(arguments: argparse.Namespace) -> float:
    """Bytes read and written a second by a large copy."""
    source = torch.ones(arguments.copy_mb << 20, dtype=torch.uint8, device=arguments.device)
    target = torch.empty_like(source)
    return 2 * source.numel() / best_seconds(lambda: target.copy_(source), arguments.device)


def best_seconds(work: Callable[[], object], device: str, repeats: int = 5) -> float:
    return min(seconds(work, device) for _ in range(repeats))


def seconds(work: Callable[[], object], device: str) -> float:
    synchronise(device)
    start = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def measure(arguments: argparse.Namespace, model: LlamaForCausalLM) -> dict:
    """Clips/s of the three ways. Each computes one small batch first, which is not counted."""
    prompt = torch.randn(arguments.prompt, arguments.hidden, device=arguments.device).to(model.dtype)

    def clips(count: int, new_tokens: int = arguments.new_tokens) -> list[Request]:
        return [Request(f"clip{number}", new_tokens, embeddings=prompt) for number in range(count)]

    timing = Timing("caption")
    settings = {"batch_size": arguments.batch_size, "cuda_graphs": arguments.cuda_graphs, "timing": timing}
    engine = TransformersEngine(model, end_token_ids=NEVER, **settings)
    list(complete(engine, [*clips(1), *(Request(f"r{n}", 2, embeddings=prompt) for n in range(2))]))
    before = timing.spent().seconds
    ours = arguments.clips / seconds(lambda: list(complete(engine, clips(arguments.clips))), arguments.device)
    slots, graphs, after = engine.slots, engine.graphs, timing.spent().seconds
    engine.close()
    say(f"recap: {ours:.3f} clips/s with {slots} clips at a time")
    found = {"slots": slots, "graphs": graphs, "clips_per_s": round(ours, 4)}
    for name, phase in {"prefill_s": "prefill", "decode_s": "decode_steps"}.items():
        found[name] = round((after[phase] - before[phase]) / arguments.clips, 9)
    for name, batch, count in (
        ("one_by_one", 1, arguments.single_clips),
        ("static", arguments.static_batch, arguments.static_batch),
    ):
        batch, took = in_memory(model, clips, batch, count, arguments.device)
        found |= {f"{name}_batch": batch, f"{name}_clips_per_s": round(count / took, 4)}
        say(f"generate, {batch} at a time: {count / took:.3f} clips/s")
    return found


def equal_without_graphs(arguments: argparse.Namespace, model: LlamaForCausalLM) -> bool | None:
    """Whether texts of several lengths are the same with a graph for each shape and for none; None without graphs."""
    chance = torch.Generator().manual_seed(0)
    prompt = torch.randn(arguments.prompt, arguments.hidden, generator=chance).to(arguments.device, model.dtype)
    lengths = range(arguments.prompt, arguments.prompt // 2, -max(1, arguments.prompt // 48))
    requests = [
        Request(f"{length}", max(1, arguments.new_tokens - 7 * place), embeddings=prompt[:length])
        for place, length in enumerate(lengths)
    ]
    texts = []
    for waiting in (2.0, -1.0):  # no share of a step's time is as long, and none so short
        graphs_module.WAITING = waiting
        engine = TransformersEngine(model, end_token_ids=NEVER, batch_size=12, cuda_graphs=arguments.cuda_graphs)
        texts.append({done.request_id: done.token_ids for done in complete(engine, requests)})
        graphs = engine.graphs
        engine.close()
    return texts[0] == texts[1] if graphs else None


def in_memory(model: LlamaForCausalLM, clips: Callable, batch: int, count: int, device: str) -> tuple[int, float]:
    """The largest batch up to `batch` that fits, and the seconds that `count` clips take with it."""
    while True:
        try:
            write_in_batches(model, clips(batch, 2), batch)
            return batch, seconds(lambda: write_in_batches(model, clips(count), batch), device)  # noqa: B023
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
        batch //= 2
        torch.cuda.empty_cache()


def compare(found: dict, shape: Shape, machine: Ceilings, arguments: argparse.Namespace) -> dict:
    clip = {"prompt": arguments.prompt, "new_tokens": arguments.new_tokens, "texts": found["slots"]}
    bound = clips_per_s(shape, machine, **clip)
    prefill_s, decode_s = clip_seconds(shape, machine, **clip)
    return {
        "roofline_clips_per_s": round(bound, 4),
        "roofline_prefill_s": round(prefill_s, 9),
        "roofline_decode_s": round(decode_s, 9),
        "roofline_share": round(found["clips_per_s"] / bound, 6),
        "ratio_to_one_by_one": round(found["clips_per_s"] / found["one_by_one_clips_per_s"], 4),
        "ratio_to_static": round(found["clips_per_s"] / found["static_clips_per_s"], 4),
    }


if __name__ == "__main__":
    main()
